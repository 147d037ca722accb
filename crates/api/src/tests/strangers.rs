//! A user who was never a member learns nothing about a room, not even from response times.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::RoomId;
use parlance_peers::Budget;
use parlance_proto::error::Failure;
use parlance_proto::v1;
use v1::client_frame::Operation;

use crate::Api;
use crate::testing::{TestNode, caller, hello_to, user};

/// All room operations that are refused to non-members, for rooms of this kind.
fn operations(room_id: &str, kind: v1::RoomKind) -> Vec<Operation> {
    let room_id = || room_id.to_owned();
    let request_id = || "request".to_owned();
    let user_id = || "bob".to_owned();
    let mut all = vec![
        Operation::SendMessage(v1::SendMessageRequest {
            text: "hello".into(),
            client_message_id: request_id(),
            target: Some(v1::send_message_request::Target::RoomId(room_id())),
            ..Default::default()
        }),
        Operation::SendMessage(v1::SendMessageRequest {
            text: "hello".into(),
            client_message_id: request_id(),
            target: Some(v1::send_message_request::Target::RoomId(room_id())),
            after_seq: Some(u64::MAX),
            reply_to_seq: 4,
            ..Default::default()
        }),
        Operation::EditMessage(v1::EditMessageRequest {
            room_id: room_id(),
            seq: 4,
            text: "hullo".into(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::DeleteMessage(v1::DeleteMessageRequest {
            room_id: room_id(),
            seq: 4,
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::AddReaction(v1::AddReactionRequest {
            room_id: room_id(),
            seq: 4,
            emoji: "👍".into(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::RemoveReaction(v1::RemoveReactionRequest {
            room_id: room_id(),
            seq: 4,
            emoji: "👍".into(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::SendTyping(v1::SendTypingRequest { room_id: room_id() }),
        Operation::MarkRead(v1::MarkReadRequest { room_id: room_id(), seq: 1, ..Default::default() }),
        Operation::AcknowledgeDelivery(v1::AcknowledgeDeliveryRequest {
            room_id: room_id(),
            seq: 1,
            ..Default::default()
        }),
        Operation::SetRoomHidden(v1::SetRoomHiddenRequest {
            room_id: room_id(),
            hidden: true,
            ..Default::default()
        }),
        Operation::SetRoomPreferences(v1::SetRoomPreferencesRequest {
            room_id: room_id(),
            pinned: Some(true),
            ..Default::default()
        }),
        Operation::ListReceipts(v1::ListReceiptsRequest { room_id: room_id(), ..Default::default() }),
        Operation::GetMessage(v1::GetMessageRequest { room_id: room_id(), seq: 4 }),
        Operation::ReportMessage(v1::ReportMessageRequest {
            room_id: room_id(),
            seq: 4,
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::ListReports(v1::ListReportsRequest { room_id: room_id(), ..Default::default() }),
        Operation::ListMessages(v1::ListMessagesRequest { room_id: room_id(), ..Default::default() }),
        Operation::ListEvents(v1::ListEventsRequest { room_id: room_id(), ..Default::default() }),
        Operation::ListBans(v1::ListBansRequest { room_id: room_id(), ..Default::default() }),
        Operation::ListRoomInvitations(v1::ListRoomInvitationsRequest {
            room_id: room_id(),
            ..Default::default()
        }),
        Operation::InviteMember(v1::InviteMemberRequest {
            room_id: room_id(),
            user_id: user_id(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::RevokeInvitation(v1::RevokeInvitationRequest {
            room_id: room_id(),
            user_id: user_id(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::ListMembers(v1::ListMembersRequest { room_id: room_id(), ..Default::default() }),
        Operation::UpdateRoom(v1::UpdateRoomRequest {
            room_id: room_id(),
            title: Some("red".into()),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::AddMembers(v1::AddMembersRequest {
            room_id: room_id(),
            user_ids: vec![user_id()],
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::RemoveMember(v1::RemoveMemberRequest {
            room_id: room_id(),
            user_id: user_id(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::BanMember(v1::BanMemberRequest {
            room_id: room_id(),
            user_id: user_id(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::UnbanMember(v1::UnbanMemberRequest {
            room_id: room_id(),
            user_id: user_id(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::MuteMember(v1::MuteMemberRequest {
            room_id: room_id(),
            user_id: user_id(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::UnmuteMember(v1::UnmuteMemberRequest {
            room_id: room_id(),
            user_id: user_id(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::SetRole(v1::SetRoleRequest {
            room_id: room_id(),
            user_id: user_id(),
            role: v1::Role::Admin.into(),
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::UpdateMember(v1::UpdateMemberRequest {
            room_id: room_id(),
            user_id: user_id(),
            unset_data: vec!["team".into()],
            request_id: request_id(),
            ..Default::default()
        }),
        Operation::LeaveRoom(v1::LeaveRoomRequest {
            room_id: room_id(),
            request_id: request_id(),
            ..Default::default()
        }),
    ];
    if kind == v1::RoomKind::Direct {
        all.push(Operation::AcceptInvitation(v1::AcceptInvitationRequest {
            room_id: room_id(),
            request_id: request_id(),
        }));
        all.push(Operation::DeclineInvitation(v1::DeclineInvitationRequest {
            room_id: room_id(),
            request_id: request_id(),
        }));
    }
    if kind != v1::RoomKind::Channel {
        all.push(Operation::GetRoom(v1::GetRoomRequest { room_id: room_id() }));
        all.push(Operation::JoinRoom(v1::JoinRoomRequest {
            room_id: room_id(),
            request_id: request_id(),
            ..Default::default()
        }));
    }
    all
}

/// Carol's answer, and the store calls that it took.
async fn answer(
    node: &TestNode,
    api: &Arc<Api>,
    operation: Operation,
) -> (Failure, BTreeMap<&'static str, usize>) {
    let before = node.store.calls();
    let failure = api.execute(&caller("carol"), "", operation, &Budget::new(0)).await.unwrap_err().into();
    let mut calls = node.store.calls();
    for (call, count) in &mut calls {
        *count -= before.get(call).copied().unwrap_or(0);
    }
    calls.retain(|_, count| *count > 0);
    (failure, calls)
}

/// Compares rooms that exist, loaded or not, with rooms that do not.
async fn check(kind: v1::RoomKind) {
    let (node, _) = TestNode::with_group().await;
    let request = v1::CreateRoomRequest {
        kind: kind.into(),
        member_ids: vec!["bob".into()],
        request_id: "create".into(),
        ..Default::default()
    };
    let room = node.api.create_room(&caller("alice"), request).await.unwrap().room.unwrap().room_id;
    let missing = match kind {
        v1::RoomKind::Direct => RoomId::direct(&user("alice"), &user("dora")).to_string(),
        _ => format!("{}{}", &room[..1], "0".repeat(room.len() - 1)),
    };
    let pairs = operations(&room, kind).into_iter().zip(operations(&missing, kind));
    for (there, not_there) in pairs {
        // Nodes that have carol in their caches but none of the rooms.
        let (fresh, other) = (node.other(), node.other());
        for api in [&fresh, &other] {
            api.remember(&user("carol"));
            api.remember(&user("bob"));
        }
        let (refused, expected) = answer(&node, &other, not_there.clone()).await;
        assert_eq!(refused.reason, "room_not_found", "{not_there:?}");
        for what in ["not loaded", "loaded", "loaded with the stranger's row"] {
            if what == "loaded" {
                let text = v1::SendMessageRequest {
                    text: "hello".into(),
                    client_message_id: format!("{}", node.store.reads()),
                    target: Some(v1::send_message_request::Target::RoomId(room.clone())),
                    ..Default::default()
                };
                fresh.send_message(&caller("alice"), text).await.unwrap();
            }
            let (failure, calls) = answer(&node, &fresh, there.clone()).await;
            assert_eq!(calls, expected, "{kind:?}, {what}: {there:?}");
            let reason = if kind == v1::RoomKind::Direct { "room_not_found" } else { "not_member" };
            assert!([reason, "not_joinable"].contains(&failure.reason.as_str()), "{what}: {failure:?}");
            if kind == v1::RoomKind::Direct {
                assert_eq!(failure, refused, "{there:?}");
            }
        }
        let (_, again) = answer(&node, &other, not_there).await;
        assert_eq!(again, expected, "once more");
        for api in [fresh, other] {
            api.stop(Duration::from_secs(3_600)).await;
        }
    }
}

#[tokio::test]
async fn direct_rooms_of_others_cost_what_missing_ones_do() {
    check(v1::RoomKind::Direct).await;
}

#[tokio::test]
async fn groups_of_others_cost_what_missing_ones_do() {
    check(v1::RoomKind::Group).await;
}

#[tokio::test]
async fn channels_of_others_cost_what_missing_ones_do() {
    check(v1::RoomKind::Channel).await;
}

#[tokio::test]
async fn a_refused_first_message_creates_no_room() {
    let (node, _) = TestNode::with_group().await;
    let message = hello_to("carol", "first");
    for (refused, reason) in [
        (v1::SendMessageRequest { mention_all: true, ..message.clone() }, "needs_role"),
        (v1::SendMessageRequest { reply_to_seq: 99, ..message.clone() }, "message_not_found"),
        (v1::SendMessageRequest { after_seq: Some(99), ..message.clone() }, "cursor_ahead"),
    ] {
        let failure: Failure = node.api.send_message(&caller("alice"), refused).await.unwrap_err().into();
        assert_eq!(failure.reason, reason);
        let room = node.api.store().room(&RoomId::direct(&user("alice"), &user("carol"))).await.unwrap();
        assert!(room.is_none(), "{reason}");
    }
    assert_eq!(node.api.send_message(&caller("alice"), message).await.unwrap().seq, 4);
}
