//! Sets up rooms before a run, and reads them and the inboxes back after it.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::send_message_request::Target;

use super::history::{InboxRecord, LogBody, LogEvent, RoomHistory, Text, print};
use super::world::{self, Kind, OpId, PlannedRoom, User, World};
use parlance_testbed::Unary;

/// Concurrent calls.
const AT_ONCE: usize = 16;

/// Creates all users and rooms, and records the rooms' ids.
pub(super) async fn set_up(unary: &Unary, world: &mut World, tokens: &[String]) -> Result<Vec<RoomHistory>> {
    let users = (0..world.clients).map(|user| {
        let token = &tokens[usize::from(user)];
        async move { unary.create_user(token, &world::name(user)).await }
    });
    futures::stream::iter(users).buffered(AT_ONCE).try_collect::<Vec<()>>().await?;
    let rooms = world.rooms.iter().map(|room| create(unary, room, &tokens[usize::from(room.owner())]));
    let created: Vec<RoomHistory> = futures::stream::iter(rooms).buffered(AT_ONCE).try_collect().await?;
    let mut ids = HashSet::new();
    for (planned, room) in world.rooms.iter_mut().zip(&created) {
        ensure!(ids.insert(&room.id), "the server named two rooms {}", room.id);
        planned.id.clone_from(&room.id);
    }
    Ok(created)
}

async fn create(unary: &Unary, room: &PlannedRoom, token: &str) -> Result<RoomHistory> {
    let mut others = room.members[1..].iter().map(|member| world::name(*member));
    let (id, head) = if room.kind == Kind::Direct {
        let request = v1::SendMessageRequest {
            target: others.next().map(Target::ToUser),
            client_message_id: room.request.clone(),
            text: "before it began".to_owned(),
            ..Default::default()
        };
        let sent = unary.send(token, request).await?;
        (sent.room_id, sent.seq)
    } else {
        let request = v1::CreateRoomRequest {
            kind: room.proto_kind().into(),
            settings: None,
            member_ids: others.collect(),
            request_id: room.request.clone(),
            ..Default::default()
        };
        let created = unary.create_room(token, request).await?;
        (created.room_id, created.head_seq)
    };
    Ok(RoomHistory { id, open_past: room.kind == Kind::Channel, setup_head: head, ..RoomHistory::default() })
}

/// Reads every room's log back, each as a user who was a member all the time.
pub(super) async fn read_logs(
    unary: &Unary,
    world: &World,
    tokens: &[String],
    rooms: &mut [RoomHistory],
) -> Result<()> {
    let logs = world.rooms.iter().map(|room| read_log(unary, &room.id, &tokens[usize::from(room.owner())]));
    let logs: Vec<_> = futures::stream::iter(logs).buffered(AT_ONCE).try_collect().await?;
    for (room, (log, head)) in rooms.iter_mut().zip(logs) {
        (room.log, room.head) = (log, head);
    }
    Ok(())
}

async fn read_log(unary: &Unary, room_id: &str, token: &str) -> Result<(Vec<LogEvent>, u64)> {
    let mut log = Vec::new();
    let mut from_seq = 1;
    loop {
        let room_id = room_id.to_owned();
        let request = v1::ListEventsRequest { room_id, from_seq, to_seq: 0, page_size: 200 };
        let page = unary.list_events(token, request).await?;
        log.extend(page.events.iter().map(log_event));
        if page.next_from_seq == 0 {
            return Ok((log, page.head_seq));
        }
        ensure!(page.next_from_seq > from_seq, "a page of events does not go forward from {from_seq}");
        from_seq = page.next_from_seq;
    }
}

fn log_event(event: &v1::Event) -> LogEvent {
    let at = event.at.unwrap_or_default();
    LogEvent {
        seq: event.seq,
        at: i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos),
        actor: world::user_of(&event.actor_id),
        op: OpId::parse(&event.request_id),
        print: print(event),
        message_count: event.message_count,
        body: event.body.as_ref().map_or(LogBody::Other, log_body),
    }
}

fn log_body(body: &Body) -> LogBody {
    match body {
        Body::Message(message) => LogBody::Message {
            text: Text::read(&message.text),
            deleted: message.deleted,
            reactions: message.reactions.iter().flat_map(reactions).collect(),
        },
        Body::MessageEdited(edited) => {
            LogBody::Edited { target: edited.target_seq, text: Text::read(&edited.text) }
        }
        Body::MessageDeleted(deleted) => LogBody::Deleted { target: deleted.target_seq },
        Body::ReactionAdded(added) => {
            LogBody::Reacted { target: added.target_seq, emoji: emoji(&added.emoji) }
        }
        Body::ReactionRemoved(removed) => {
            LogBody::Unreacted { target: removed.target_seq, emoji: emoji(&removed.emoji) }
        }
        Body::MemberAdded(added) => world::user_of(&added.user_id).map_or(LogBody::Other, LogBody::Added),
        Body::MemberRemoved(removed) => {
            world::user_of(&removed.user_id).map_or(LogBody::Other, LogBody::Removed)
        }
        Body::RoomCreated(_)
        | Body::RoomChanged(_)
        | Body::RoleChanged(_)
        | Body::MemberBanned(_)
        | Body::MemberUnbanned(_)
        | Body::MemberMuted(_)
        | Body::MemberUnmuted(_)
        | Body::MemberInvited(_)
        | Body::InvitationEnded(_)
        | Body::InvitationLinkCreated(_)
        | Body::InvitationLinkRevoked(_)
        | Body::JoinRequested(_)
        | Body::JoinRequestEnded(_)
        | Body::MemberUpdated(_)
        | Body::RoomDeleted(_) => LogBody::Other,
    }
}

fn reactions(reaction: &v1::Reaction) -> impl Iterator<Item = (u8, User)> {
    let emoji = emoji(&reaction.emoji);
    reaction.user_ids.iter().map(move |user| (emoji, world::user_of(user).unwrap_or(User::MAX)))
}

/// Index among our emoji; past the end for others.
fn emoji(emoji: &str) -> u8 {
    world::EMOJI.iter().position(|known| *known == emoji).unwrap_or(world::EMOJI.len()) as u8
}

/// Reads every user's inbox.
pub(super) async fn read_inboxes(
    unary: &Unary,
    world: &World,
    tokens: &[String],
) -> Result<Vec<Vec<InboxRecord>>> {
    let inboxes = tokens.iter().map(|token| read_inbox(unary, world, token));
    futures::stream::iter(inboxes).buffered(AT_ONCE).try_collect().await
}

async fn read_inbox(unary: &Unary, world: &World, token: &str) -> Result<Vec<InboxRecord>> {
    let mut inbox = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = unary
            .list_inbox(token, v1::ListInboxRequest { page_size: 200, page_token, ..Default::default() })
            .await?;
        for entry in page.entries {
            let room = entry.room.context("an inbox entry without a room")?;
            let index = world.rooms.iter().position(|planned| planned.id == room.room_id);
            let read = entry.read.unwrap_or_default();
            inbox.push(InboxRecord {
                room: index.with_context(|| format!("the strange room {} in an inbox", room.room_id))? as u16,
                head: room.head_seq,
                message_count: room.message_count,
                unread: entry.unread_count,
                read_seq: read.seq,
                read_count: read.message_count,
            });
        }
        if page.next_page_token.is_empty() {
            return Ok(inbox);
        }
        page_token = page.next_page_token;
    }
}
