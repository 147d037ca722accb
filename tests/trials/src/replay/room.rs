//! Plays one room: its steps in order, each after the previous one was answered.

use anyhow::{Context, Result};
use parlance_client::{ClientError, Message};
use parlance_proto::v1;

use super::model::Model;
use super::plan::{Step, User};
use super::run::Run;

/// The result of a room.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) model: Model,
    /// Unread counts in answers to marks that differ from the model.
    pub(super) unread_wrong: u64,
}

/// Creates all rooms as the first user of the plan, in the plan's order.
pub(super) async fn create_rooms(run: &Run) -> Result<Vec<String>> {
    let mut ids = Vec::with_capacity(run.plan.rooms.len());
    for planned in &run.plan.rooms {
        // So that any message from before a user joined is a leak.
        let history_visibility = v1::HistoryVisibility::SinceJoined.into();
        let settings =
            v1::RoomSettings { title: planned.title.clone(), history_visibility, ..Default::default() };
        let request = v1::CreateRoomRequest {
            kind: v1::RoomKind::Channel.into(),
            settings: Some(settings),
            member_ids: Vec::new(),
            request_id: planned.request_id.clone(),
            ..Default::default()
        };
        let response = run.call(0, request).await;
        let response = response.with_context(|| format!("cannot create a room for {}", planned.file))?;
        ids.push(response.room.context("the server answers without the room")?.room_id);
    }
    Ok(ids)
}

/// Plays a room to its end. Failures are recorded, and the next step follows.
pub(super) async fn play(run: &Run, room: usize) -> Played {
    let mut played = Played::default();
    // The creator: the room and its membership are the first two events.
    played.model.joined(0, 2);
    let planned = &run.plan.rooms[room];
    for step in &planned.steps {
        if let Err(error) = Box::pin(take(run, room, *step, &mut played)).await {
            let line = match step {
                Step::Send(place) => format!(":{}", planned.messages[*place].line),
                _ => String::new(),
            };
            run.problem(format!("{}{line}: {step:?}: {error:#}", planned.file));
            // The server is gone, and every further step would wait as long.
            if let Some(ClientError::Io(_)) = error.downcast_ref() {
                break;
            }
        }
    }
    played
}

async fn take(run: &Run, room: usize, step: Step, played: &mut Played) -> Result<()> {
    let room_id = || run.room_id(room).to_owned();
    match step {
        Step::Join(user) => {
            let request = v1::JoinRoomRequest { room_id: room_id(), ..Default::default() };
            let outcome = run.call(user, request).await?.outcome.context("no outcome")?;
            played.model.joined(user, outcome.last_seq);
        }
        Step::Leave(user) => {
            let request = v1::LeaveRoomRequest { room_id: room_id(), ..Default::default() };
            let outcome = run.call(user, request).await?.outcome.context("no outcome")?;
            played.model.left(user, outcome.last_seq);
        }
        Step::Send(place) => send(run, room, place, &mut played.model).await?,
        Step::MarkRead { user, behind } => mark_read(run, room, user, behind, played).await?,
    }
    Ok(())
}

async fn send(run: &Run, room: usize, place: usize, model: &mut Model) -> Result<()> {
    let message = &run.plan.rooms[room].messages[place];
    let request = Message::to_room(run.room_id(room), message.text.as_str());
    let request = request.with_id(run.plan.message_id(room, place));
    run.sending(room, place);
    let response = run.call(message.sender, v1::SendMessageRequest::from(request)).await?;
    run.acknowledged(room, place);
    let follows = model.sent(message.sender, response.seq);
    anyhow::ensure!(follows, "acknowledged at seq {}, which is not after the one before", response.seq);
    let counted = model.message_count();
    anyhow::ensure!(
        response.message_count == counted,
        "acknowledged as message {} of the room, which has {counted}",
        response.message_count
    );
    Ok(())
}

async fn mark_read(run: &Run, room: usize, user: User, behind: u64, played: &mut Played) -> Result<()> {
    let seq = played.model.head().saturating_sub(behind).max(1);
    let request = v1::MarkReadRequest { room_id: run.room_id(room).to_owned(), seq, ..Default::default() };
    let response = run.call(user, request).await?;
    played.model.read_up_to(user, seq);
    if Some(response.unread_count) != played.model.unread(user) {
        played.unread_wrong += 1;
        let id = &run.plan.users[user].id;
        let expected = played.model.unread(user);
        run.problem(format!("{id} has {} unread after a mark, not {expected:?}", response.unread_count));
    }
    Ok(())
}
