//! Reads everything back: the history of each room, and everyone's inbox.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt};
use parlance_proto::v1;
use parlance_proto::v1::event::Body;

use super::plan::User;
use super::room::Played;
use super::run::Run;
use super::stream::as_planned;
use super::verifier::{Tally, Verifier};

/// Concurrent reads.
const AT_ONCE: usize = 32;

const PAGE: u32 = 200;

/// The direction of paging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// Pages every room forward and backward, and compares it with what was sent and
/// acknowledged.
pub(super) async fn histories(run: &Run, played: &[Played]) -> Result<Tally> {
    let mut sum = Tally::default();
    // As a listener if there are any: the creator and they can read everything.
    let readers = run.plan.users.iter().take_while(|user| user.id.contains(':')).count();
    for (room, played) in played.iter().enumerate() {
        for (direction, offset) in [(Direction::Forward, 0), (Direction::Backward, 1)] {
            let events = Box::pin(history(run, (room + offset) % readers, room, direction)).await?;
            sum += compare(run, room, played, &events);
        }
    }
    Ok(sum)
}

/// All messages of a room, in ascending order.
async fn history(run: &Run, reader: User, room: usize, direction: Direction) -> Result<Vec<v1::Event>> {
    let mut pages: Vec<Vec<v1::Event>> = Vec::new();
    let room_id = run.room_id(room).to_owned();
    let mut request = v1::ListMessagesRequest { room_id, page_size: PAGE, ..Default::default() };
    if direction == Direction::Forward {
        // The first event is the room's creation.
        request.after_seq = Some(0);
    }
    loop {
        let page = run.call(reader, request.clone()).await?;
        pages.push(page.messages);
        if !page.has_more {
            break;
        }
        let bound = match direction {
            Direction::Forward => request.after_seq.get_or_insert_default(),
            Direction::Backward => &mut request.before_seq,
        };
        let goes_on = match direction {
            Direction::Forward => page.next_seq > *bound,
            Direction::Backward => page.next_seq > 0 && (*bound == 0 || page.next_seq < *bound),
        };
        ensure!(goes_on, "a page of messages does not go on from {bound}");
        *bound = page.next_seq;
    }
    if direction == Direction::Backward {
        pages.reverse();
    }
    Ok(pages.concat())
}

fn compare(run: &Run, room: usize, played: &Played, events: &[v1::Event]) -> Tally {
    let mut verifier = Verifier::new(vec![0..run.plan.rooms[room].messages.len()]);
    for event in events {
        let place = match &event.body {
            Some(Body::Message(message)) => as_planned(&run.plan, room, event, message),
            _ => None,
        };
        match place {
            Some(place) => {
                verifier.take(place);
                if played.model.message_seq(place) != Some(event.seq) {
                    let acknowledged = played.model.message_seq(place);
                    let file = &run.plan.rooms[room].file;
                    let seq = event.seq;
                    run.problem(format!(
                        "{file}: message {place} is at {seq}, acknowledged {acknowledged:?}"
                    ));
                }
            }
            None => verifier.altered(),
        }
    }
    verifier.tally()
}

/// Reads everyone's inbox and returns how many unread counts differ from the model;
/// an extra or missing room counts, too.
pub(super) async fn inboxes(run: &Run, played: &[Played]) -> Result<u64> {
    let users = futures::stream::iter(0..run.plan.users.len());
    let wrong = users.map(|user| Box::pin(inbox(run, user, played))).buffer_unordered(AT_ONCE);
    wrong.try_fold(0, |sum, wrong| async move { Ok(sum + wrong) }).await
}

async fn inbox(run: &Run, user: User, played: &[Played]) -> Result<u64> {
    let mut unread = HashMap::new();
    let mut page_token = String::new();
    loop {
        let page = run
            .call(user, v1::ListInboxRequest { page_size: PAGE, page_token, ..Default::default() })
            .await?;
        for entry in page.entries {
            if let Some(room) = entry.room.and_then(|room| run.room_of(&room.room_id)) {
                unread.insert(room, entry.unread_count);
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut wrong = 0;
    for (room, played) in played.iter().enumerate() {
        let (expected, found) = (played.model.unread(user), unread.get(&room).copied());
        if expected != found {
            wrong += 1;
            let (id, file) = (&run.plan.users[user].id, &run.plan.rooms[room].file);
            run.problem(format!("{id} has {found:?} unread in {file}, not {expected:?}"));
        }
    }
    Ok(wrong)
}
