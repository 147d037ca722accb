//! Permissions of every actor on every operation, and the events each can read, over every transport.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

mod reads;
mod stage;
mod streams;

use std::collections::BTreeSet;

use parlance_proto::v1::{self, RoomKind};
use parlance_proto::{DESCRIPTOR, EVENTS_DESCRIPTOR};
use parlance_tests::{OPERATIONS, VARIANTS};
use prost::Message;
use prost_types::FileDescriptorSet;

use self::stage::Stage;

const OK: &str = "ok";
const NO_TOKEN: &str = "token_missing";
const SCOPE: &str = "needs_scope";
const NO: &str = "not_member";
const ROLE: &str = "needs_role";
const UNSEEN: &str = "message_not_found";
const SHUT: &str = "not_joinable";
const NONE: &str = "room_not_found";
const OWN: &str = "invalid_field";
const ABSENT: &str = "report_not_found";
const UNASKED: &str = "not_invited";
const MUTED: &str = "muted";
const UNKNOWN: &str = "user_not_found";
const LINK: &str = "link_invalid";
const OPEN: &str = "not_by_request";

/// An operation, and how it ends for each actor.
type Row = (&'static str, [&'static str; 12]);

/// The result of each operation in a group that hides its history from newcomers.
#[rustfmt::skip]
const GROUP: [Row; 78] = [
    // Service/Method                        anonymous outsider invited  bob           muted         newcomer removed  banned   admin         owner    service       moderator
    ("ChatService/SendMessage",             [NO_TOKEN, NO,      NO,      OK,           MUTED,        OK,      NO,      NO,      OK,           OK,      OK,           OK]),
    ("ChatService/SendMessage to all",      [NO_TOKEN, NO,      NO,      ROLE,         MUTED,        ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    ("ChatService/GetMessage",              [NO_TOKEN, NO,      NO,      OK,           OK,           UNSEEN,  UNSEEN,  UNSEEN,  OK,           OK,      OK,           OK]),
    ("ChatService/ListMessages",            [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("ChatService/ListEvents",              [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("ChatService/EditMessage",             [NO_TOKEN, NO,      NO,      "not_sender", MUTED,        UNSEEN,  NO,      NO,      "not_sender", OK,      "not_sender", "not_sender"]),
    ("ChatService/DeleteMessage",           [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         UNSEEN,  NO,      NO,      OK,           OK,      OK,           OK]),
    ("ChatService/AddReaction",             [NO_TOKEN, NO,      NO,      OK,           MUTED,        UNSEEN,  NO,      NO,      OK,           OK,      OK,           OK]),
    ("ChatService/RemoveReaction",          [NO_TOKEN, NO,      NO,      OK,           OK,           UNSEEN,  NO,      NO,      OK,           OK,      OK,           OK]),
    ("ChatService/SendTyping",              [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      NO,           NO]),
    ("ChatService/ReportMessage",           [NO_TOKEN, NO,      NO,      OK,           OK,           UNSEEN,  UNSEEN,  UNSEEN,  OK,           OWN,     OK,           OK]),
    ("UserService/CreateUser",              [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   OK,           OK]),
    ("UserService/GetUser",                 [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("UserService/GetUser of a member",     [NO_TOKEN, UNKNOWN, UNKNOWN, OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("UserService/GetUser of a stranger",   [NO_TOKEN, UNKNOWN, UNKNOWN, UNKNOWN,      UNKNOWN,      UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN,      UNKNOWN, OK,           OK]),
    ("UserService/GetUsers",                [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("UserService/ListUsers",               [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   OK,           OK]),
    ("UserService/UpdateUser",              [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("UserService/GetPresence",             [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("UserService/BlockUser",               [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("UserService/UnblockUser",             [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("UserService/ListBlocked",             [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("UserService/SearchUsers",             [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   OK,           OK]),
    ("UserService/DeactivateUser",          [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   OK,           OK]),
    ("UserService/ReactivateUser",          [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   OK,           OK]),
    ("UserService/DeleteUser",              [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   OK,           OK]),
    ("UserService/ExportUser",              [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   OK,           OK]),
    ("UserService/ReportUser",              [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("UserService/ListReports",             [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   OK,           OK]),
    ("UserService/ListReports of a room",   [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    // Reports that exist: tests/tests/reports.rs.
    ("UserService/ResolveReport",           [NO_TOKEN, ABSENT,  ABSENT,  ABSENT,       ABSENT,       ABSENT,  ABSENT,  ABSENT,  ABSENT,       ABSENT,  ABSENT,       ABSENT]),
    ("RoomService/CreateRoom",              [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("RoomService/GetRoom",                 [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/UpdateRoom",              [NO_TOKEN, NO, NO, ROLE, MUTED, ROLE, NO, NO, OK, OK, OK, OK]),
    ("RoomService/DeleteRoom",              [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      ROLE,         OK,      OK,           OK]),
    ("RoomService/GetDirectRoom",           [NO_TOKEN, NONE,    NONE,    NONE,         NONE,         NONE,    NONE,    NONE,    NONE,         NONE,    NONE,         NONE]),
    ("RoomService/GetDirectRoom of others", [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   NONE,         NONE]),
    ("RoomService/ListRooms",               [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("RoomService/AddMembers",              [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/RemoveMember",            [NO_TOKEN, NO, NO, OK, ROLE, ROLE, NO, NO, OK, OK, OK, OK]),
    ("RoomService/ListMembers",             [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/SetRole",                 [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      ROLE,         OK,      OK,           OK]),
    ("RoomService/SetRole to owner",        [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      ROLE,         OK,      OK,           OK]),
    ("RoomService/UpdateMember",            [NO_TOKEN, NO,      NO,      OK,           MUTED,        ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/JoinRoom",                [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      SHUT,    SHUT,    OK,           OK,      NO,           NO]),
    ("RoomService/LeaveRoom",               [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      NO,           NO]),
    ("RoomService/BanMember",               [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      SCOPE,        OK]),
    ("RoomService/UnbanMember",             [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      SCOPE,        OK]),
    ("RoomService/ListBans",                [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/MuteMember",              [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      SCOPE,        OK]),
    ("RoomService/UnmuteMember",            [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      SCOPE,        OK]),
    ("RoomService/InviteMember",            [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/AcceptInvitation",        [NO_TOKEN, UNASKED, OK,      OK,           OK,           OK,      UNASKED, UNASKED, OK,           OK,      UNASKED,      UNASKED]),
    ("RoomService/DeclineInvitation",       [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("RoomService/RevokeInvitation",        [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/ListInvitations",         [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("RoomService/ListRoomInvitations",     [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/ImportMessages",          [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   OK,           OK]),
    ("RoomService/ExportRoom",              [NO_TOKEN, SCOPE,   SCOPE,   SCOPE,        SCOPE,        SCOPE,   SCOPE,   SCOPE,   SCOPE,        SCOPE,   OK,           OK]),
    ("RoomService/ListDirectory",           [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("RoomService/CreateInvitationLink",    [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/RevokeInvitationLink",    [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/ListInvitationLinks",     [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    // Without a secret that opens the room: tests/tests/links.rs has others.
    ("RoomService/GetInvitationLink",       [NO_TOKEN, LINK,    LINK,    LINK,         LINK,         LINK,    LINK,    LINK,    LINK,         LINK,    LINK,         LINK]),
    ("RoomService/JoinByLink",              [NO_TOKEN, LINK,    LINK,    OK,           OK,           OK,      LINK,    LINK,    OK,           OK,      LINK,         LINK]),
    ("RoomService/RequestToJoin",           [NO_TOKEN, NO,      OK,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      NO,           NO]),
    ("RoomService/WithdrawJoinRequest",     [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("RoomService/AnswerJoinRequest",       [NO_TOKEN, NO,      NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    ("RoomService/ListJoinRequests",        [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("RoomService/ListJoinRequests of a room", [NO_TOKEN, NO,   NO,      ROLE,         ROLE,         ROLE,    NO,      NO,      OK,           OK,      OK,           OK]),
    ("InboxService/ListInbox",              [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("InboxService/MarkRead",               [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      NO,           NO]),
    ("InboxService/AcknowledgeDelivery",    [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      NO,           NO]),
    ("InboxService/ListReceipts",           [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      OK,           OK]),
    ("InboxService/SetRoomHidden",          [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      NO,           NO]),
    ("InboxService/SetRoomPreferences",     [NO_TOKEN, NO,      NO,      OK,           OK,           OK,      NO,      NO,      OK,           OK,      NO,           NO]),
    ("InboxService/GetUnreadTotal",         [NO_TOKEN, OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
    ("ServerService/GetServer",             [OK,       OK,      OK,      OK,           OK,           OK,      OK,      OK,      OK,           OK,      OK,           OK]),
];

/// Differing results in a channel, which is visible and open to everyone.
#[rustfmt::skip]
const CHANNEL: [Row; 3] = [
    // Service/Method              anonymous outsider invited bob muted newcomer removed    banned    admin owner service moderator
    ("RoomService/GetRoom",       [NO_TOKEN, OK,      OK,     OK, OK,   OK,      OK,        OK,       OK,   OK,   OK,     OK]),
    ("RoomService/JoinRoom",      [NO_TOKEN, OK,      OK,     OK, OK,   OK,      "removed", "banned", OK,   OK,   OK,     OK]),
    ("RoomService/RequestToJoin", [NO_TOKEN, OPEN,    OK,     OK, OK,   OK,      OPEN,      OPEN,     OK,   OK,   OPEN,   OPEN]),
];

/// What ends otherwise where only admins send and react.
#[rustfmt::skip]
const ADMINS_ONLY: [Row; 2] = [
    // Service/Method            anonymous outsider invited bob   muted  newcomer removed banned admin owner service moderator
    ("ChatService/SendMessage", [NO_TOKEN, NO,      NO,     ROLE, MUTED, ROLE,    NO,     NO,    OK,   OK,   OK,     OK]),
    ("ChatService/AddReaction", [NO_TOKEN, NO,      NO,     ROLE, MUTED, UNSEEN,  NO,     NO,    OK,   OK,   OK,     OK]),
];

#[test]
fn every_operation_of_the_contract_has_a_row() {
    let files = [DESCRIPTOR, EVENTS_DESCRIPTOR].map(|set| FileDescriptorSet::decode(set).unwrap());
    let files = files.iter().flat_map(|set| &set.file).filter(|file| file.package().starts_with("parlance."));
    // The files of one set are in the other, too.
    let contract: BTreeSet<String> = files
        .flat_map(|file| &file.service)
        .flat_map(|service| {
            service.method.iter().map(|method| format!("{}/{}", service.name(), method.name()))
        })
        .collect();
    let is_variant = |method: &str| VARIANTS.iter().any(|(name, _)| *name == method);
    let unary = GROUP.iter().filter(|(method, _)| !is_variant(method));
    let rows: BTreeSet<_> = unary.chain(&streams::STREAMS).map(|(method, _)| (*method).to_owned()).collect();
    assert_eq!(rows, contract);
    assert_eq!(rows.len(), OPERATIONS.len() + streams::STREAMS.len());
}

/// In parts that run side by side, each with a server of its own.
async fn check_group(is_part: impl Fn(&str) -> bool) {
    let rows: Vec<_> = GROUP.into_iter().filter(|(method, _)| is_part(method)).collect();
    let stage = Box::pin(Stage::set()).await;
    Box::pin(stage.check(RoomKind::Group, &rows)).await;
}

#[tokio::test]
async fn messages_in_a_group_end_as_the_table_says() {
    check_group(|method| method.starts_with("ChatService/")).await;
}

#[tokio::test]
async fn rooms_in_a_group_end_as_the_table_says() {
    check_group(|method| method.starts_with("RoomService/")).await;
}

#[tokio::test]
async fn other_operations_in_a_group_end_as_the_table_says() {
    check_group(|method| !method.starts_with("ChatService/") && !method.starts_with("RoomService/")).await;
}

#[tokio::test]
async fn operations_end_as_the_table_says_where_only_admins_send() {
    let admins = v1::Role::Admin.into();
    let permissions = v1::RoomPermissions { post: admins, react: admins, ..Default::default() };
    Stage::set().await.with_permissions(permissions).check(RoomKind::Group, &ADMINS_ONLY).await;
}

#[tokio::test]
async fn operations_end_as_the_table_says_in_a_channel() {
    let is_listed = |method: &str| CHANNEL.iter().any(|row| row.0 == method);
    let rows = with(&CHANNEL).filter(|(method, _)| method.starts_with("RoomService/") || is_listed(method));
    let rows: Vec<_> = rows.collect();
    Stage::set().await.check(RoomKind::Channel, &rows).await;
}

/// The rows of a group, but for those of `others`.
fn with(others: &[Row]) -> impl Iterator<Item = Row> {
    GROUP.iter().map(|row| *others.iter().find(|(method, _)| *method == row.0).unwrap_or(row))
}
