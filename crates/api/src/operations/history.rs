//! History that comes from an earlier system, and history that leaves.

use std::collections::BTreeSet;

use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};
use parlance_core::limits::{CLOCK_SKEW, MAX_DATA_BYTES, MAX_MEMBERS_PER_REQUEST, MAX_TEXT_BYTES};
use parlance_core::{
    Action, Body, Command, Imported, ImportedMessage, Message, MessageKind, Outcome, RoomId, SeqRange,
    Timestamp, UserId,
};
use parlance_proto::{convert, v1};
use prost::Message as _;
use v1::exported_room_item::Item;

use super::parse::{self, TOKEN_SPACE};
use super::rooms::hidden;
use super::{only_the_app, random_request};
use crate::gate::Admitted;
use crate::limits::{MAX_IMPORTED_AT_ONCE, MAX_PAGE_BYTES};
use crate::{Api, Error};

impl Api {
    pub(crate) async fn import_messages(
        &self,
        caller: &Admitted,
        request: v1::ImportMessagesRequest,
    ) -> Result<v1::ImportMessagesResponse, Error> {
        only_the_app(caller)?;
        let room = parse::room_id(&request.room_id)?;
        if request.messages.len() > MAX_IMPORTED_AT_ONCE {
            return Err(parse::field("messages", format!("must be at most {MAX_IMPORTED_AT_ONCE}")));
        }
        let asks_only = request.messages.is_empty();
        if request.first_number == 0 && !asks_only {
            return Err(parse::field("first_number", "must be 1 or more"));
        }
        let latest = Timestamp(self.clock().now().0 + CLOCK_SKEW * 1000);
        let mut messages = Vec::with_capacity(request.messages.len());
        for (index, message) in request.messages.into_iter().enumerate() {
            let number = request.first_number.saturating_add(index as u64);
            messages.push(imported(message, number, latest).map_err(|error| within(index, error))?);
        }
        let senders: BTreeSet<UserId> = messages.iter().map(|message| message.sender.clone()).collect();
        self.refuse_deleted(&senders).await?;
        let parts = commands(messages);
        let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
        let commands = parts.into_iter().map(|messages| Command {
            actor: caller.user.clone(),
            authority: caller.authority(),
            // The numbers of the messages tell repeats.
            request: random_request("import"),
            after: None,
            action: Action::Import { messages },
        });
        // The room takes them in this order, several in one write. If one fails, those behind it are refused.
        let outcomes = join_all(commands.map(|command| self.rooms().submit(&room, command))).await;
        let mut seqs = Vec::new();
        for (outcome, size) in outcomes.into_iter().zip(sizes) {
            match outcome {
                Ok(outcome) => seqs.extend(seqs_of(&outcome, size)),
                Err(error) => return Err(self.stopped(&room, hidden(&room, error)).await),
            }
        }
        // Who was deleted meanwhile may have been erased from the room before this was in it.
        if let Err(error) = self.refuse_deleted(&senders).await {
            return Err(self.stopped(&room, error).await);
        }
        Ok(v1::ImportMessagesResponse { imported: self.imported_into(&room).await?, seqs })
    }

    /// Refuses senders whose accounts were deleted.
    async fn refuse_deleted(&self, senders: &BTreeSet<UserId>) -> Result<(), Error> {
        let deleted: Vec<bool> = stream::iter(senders.clone())
            .map(|user| async move { self.is_deleted(&user).await })
            .buffered(self.sizes().inbox_concurrency)
            .try_collect()
            .await?;
        let found = senders.iter().zip(deleted).find(|(_, is_deleted)| *is_deleted);
        found.map_or(Ok(()), |(user, _)| Err(Error::SenderDeleted(user.to_string())))
    }

    /// The error that stopped an import, with the number of messages that are in the room now.
    async fn stopped(&self, room: &RoomId, error: Error) -> Error {
        match self.imported_into(room).await {
            Ok(imported) => Error::Stopped { error: Box::new(error), imported },
            Err(_) => error,
        }
    }

    async fn imported_into(&self, room: &RoomId) -> Result<u64, Error> {
        Ok(self.store().room(room).await?.ok_or(Error::RoomNotFound)?.info.imported)
    }

    pub(crate) async fn export_room(
        &self,
        caller: &Admitted,
        request: v1::ExportRoomRequest,
    ) -> Result<v1::ExportRoomResponse, Error> {
        only_the_app(caller)?;
        let id = parse::room_id(&request.room_id)?;
        let section = parse::page_token(&request.page_token, Section::parse)?;
        let access = self.access(caller, &id).await?;
        let mut page = Page::default();
        if section.is_none() {
            page.push(Item::Room(self.room_to_proto(&access.room)));
        }
        let mut section = section.unwrap_or(Section::Members(None));
        let head = access.room.head().seq();
        loop {
            section = match section {
                Section::Members(after) => {
                    let size = self.sizes().page_read;
                    let rows = self.store().members(&id, after.as_ref(), size).await?;
                    let mut exported = after;
                    for row in &rows {
                        if page.bytes > MAX_PAGE_BYTES {
                            break;
                        }
                        page.push(Item::Member(convert::member(row)));
                        exported = Some(row.user.clone());
                    }
                    let is_end = rows.len() < size && exported.as_ref() == rows.last().map(|last| &last.user);
                    if is_end || rows.is_empty() {
                        Section::Events(access.room.info.floor)
                    } else {
                        Section::Members(exported)
                    }
                }
                Section::Events(from) if from > head => break,
                Section::Events(from) => {
                    let range = SeqRange { from, to: head };
                    let entries = self.store().read(&id, range, self.sizes().page_read, false).await?;
                    let Some(last) = entries.last() else { break };
                    let mut next = last.event.seq + 1;
                    for entry in &entries {
                        if page.bytes > MAX_PAGE_BYTES {
                            next = entry.event.seq;
                            break;
                        }
                        page.push(Item::Event(convert::entry(id.as_str(), entry)));
                    }
                    Section::Events(next)
                }
            };
            if page.bytes > MAX_PAGE_BYTES || page.items.len() >= self.sizes().max_scan {
                let next_page_token = section.token();
                return Ok(v1::ExportRoomResponse { items: page.items, next_page_token });
            }
        }
        Ok(v1::ExportRoomResponse { items: page.items, next_page_token: String::new() })
    }
}

/// The page that is being filled.
#[derive(Default)]
struct Page {
    items: Vec<v1::ExportedRoomItem>,
    bytes: usize,
}

impl Page {
    fn push(&mut self, item: Item) {
        let item = v1::ExportedRoomItem { item: Some(item) };
        self.bytes += item.encoded_len();
        self.items.push(item);
    }
}

/// Where an export continues.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Section {
    /// At the members after this one.
    Members(Option<UserId>),
    /// At the events from this seq on.
    Events(u64),
}

/// What the tokens begin with.
const MEMBERS: &str = "members";
const EVENTS: &str = "events";

impl Section {
    fn parse(token: &str) -> Result<Self, ()> {
        match token.split_once(TOKEN_SPACE).ok_or(())? {
            (MEMBERS, "") => Ok(Self::Members(None)),
            (MEMBERS, user) => UserId::parse(user).map(|user| Self::Members(Some(user))).map_err(drop),
            (EVENTS, seq) => seq.parse().map(Self::Events).map_err(drop),
            _ => Err(()),
        }
    }

    fn token(&self) -> String {
        match self {
            Self::Members(after) => {
                format!("{MEMBERS}{TOKEN_SPACE}{}", after.as_ref().map_or("", |user| user.as_str()))
            }
            Self::Events(seq) => format!("{EVENTS}{TOKEN_SPACE}{seq}"),
        }
    }
}

/// The seqs of a part of `size` messages. Those that were imported before come first, with 0.
fn seqs_of(outcome: &Outcome, size: usize) -> impl Iterator<Item = u64> + use<> {
    let new = outcome.first.max(1)..outcome.last + 1;
    let before = size.saturating_sub(new.clone().count());
    std::iter::repeat_n(0, before).chain(new)
}

/// The error of a field in the message at `index`.
fn within(index: usize, error: Error) -> Error {
    match error {
        Error::Field(name, problem) => parse::field(&format!("messages[{index}].{name}"), problem),
        error => error,
    }
}

fn imported(message: v1::ImportedMessage, number: u64, latest: Timestamp) -> Result<ImportedMessage, Error> {
    let sent_at = message.sent_at.as_ref().and_then(convert::timestamp_from);
    let sent_at = sent_at.filter(|sent_at| *sent_at <= latest);
    let sent_at =
        sent_at.ok_or_else(|| parse::field("sent_at", "must be a time since 1970 that has passed"))?;
    let kind = MessageKind::parse(&message.kind).map_err(|error| parse::field("kind", error))?;
    let data = parse::data("data", message.data.as_ref())?;
    let text = parse::text_of(&message.text, kind.may_be_blank() && !data.is_empty())?;
    let reply_to = (message.reply_to_seq != 0).then_some(message.reply_to_seq);
    Ok(ImportedMessage {
        sender: parse::user_id("sender_id", &message.sender_id)?,
        request: parse::request_id("client_message_id", &message.client_message_id)?,
        imported: Imported { number, sent_at },
        message: Message { text, reply_to, kind, data, imported: None, mentions_all: message.mention_all },
    })
}

/// The messages in parts that fit into one write each, whatever else it holds.
fn commands(messages: Vec<ImportedMessage>) -> Vec<Vec<ImportedMessage>> {
    let mut parts: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for message in messages {
        let more = Body::Message(message.message.clone()).text_bytes();
        match parts.last_mut() {
            Some(part)
                if part.len() < MAX_MEMBERS_PER_REQUEST
                    && bytes + more <= MAX_TEXT_BYTES + MAX_DATA_BYTES =>
            {
                bytes += more;
                part.push(message);
            }
            _ => {
                bytes = more;
                parts.push(vec![message]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seqs_stand_with_the_messages_of_their_own_part() {
        let check = |first, last, size, expected: &[u64]| {
            let at = Timestamp(0);
            let outcome = Outcome { first, last, at, message_count: 0, is_repeat: first == 0 };
            assert_eq!(seqs_of(&outcome, size).collect::<Vec<_>>(), expected);
        };
        check(5, 7, 3, &[5, 6, 7]);
        check(5, 6, 4, &[0, 0, 5, 6]);
        check(0, 0, 2, &[0, 0]);
    }
}
