use parlance_core::{
    Action, Body, Caller, Command, Entry, Message, MessageKind, Outcome, Refusal, RoomId, SeqRange, UserId,
};
use parlance_delivery::SharedFrame;
use parlance_proto::{convert, v1};
use parlance_store::past::{LogRead, Until, as_of_counted, is_changed};
use prost::Message as _;
use v1::send_message_request::Target;

use super::rooms::Asked;
use super::{Access, parse};
use crate::gate::Admitted;
use crate::limits::{MAX_PAGE_BYTES, MAX_SCAN_BYTES, TYPING};
use crate::turns::{Turn, in_line};
use crate::{Api, Error};

impl Api {
    pub(crate) async fn send_message(
        &self,
        caller: &Admitted,
        request: v1::SendMessageRequest,
    ) -> Result<v1::SendMessageResponse, Error> {
        let kind = MessageKind::parse(&request.kind).map_err(|error| parse::field("kind", error))?;
        let data = parse::data("data", request.data.as_ref())?;
        let may_be_blank = kind.may_be_blank() && !data.is_empty();
        let text = parse::text_of(&request.text, may_be_blank)?;
        let id = parse::request_id("client_message_id", &request.client_message_id)?;
        let reply_to = (request.reply_to_seq != 0).then_some(request.reply_to_seq);
        let command = Command {
            actor: caller.user.clone(),
            authority: caller.authority(),
            request: id,
            after: request.after_seq,
            action: Action::Send(Message {
                text,
                reply_to,
                kind,
                data,
                imported: None,
                mentions_all: request.mention_all,
            }),
        };
        let (room, outcome) = match &request.target {
            None => return Err(parse::field("target", "name a room_id or a to_user")),
            Some(Target::RoomId(room)) => {
                let room = parse::room_id(room)?;
                let outcome = self.send(&room, command).await?;
                (room, outcome)
            }
            Some(Target::ToUser(user)) => {
                let other = parse::user_id("to_user", user)?;
                if other == caller.user {
                    return Err(parse::field("to_user", "a direct room is between two people"));
                }
                let room = RoomId::direct(&caller.user, &other);
                let turn = self.turn_as_user(caller, &room).await?;
                let turn = self.charge_direct_room(turn, caller, &room).await?;
                let turn = self.screened_turn(turn, &room, Some(&other), &command).await?;
                let outcome = in_line(turn, self.rooms().submit_to(other, command)).await?;
                self.room_quota.remember(&room);
                (room, outcome)
            }
        };
        Ok(v1::SendMessageResponse {
            room_id: room.as_str().to_owned(),
            seq: outcome.first,
            at: Some(convert::timestamp(outcome.at)),
            message_count: outcome.message_count,
            is_repeat: outcome.is_repeat,
        })
    }

    /// Submits a message that the screen accepts.
    async fn send(&self, room: &RoomId, command: Command) -> Result<Outcome, Error> {
        let turn = self.screened_turn(None, room, None, &command).await?;
        self.submit_in_turn(turn, room, command).await
    }

    pub(crate) async fn get_message(
        &self,
        caller: &Admitted,
        request: v1::GetMessageRequest,
    ) -> Result<v1::GetMessageResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let seq = parse::seq(request.seq)?;
        let access = self.access(caller, &room).await?;
        let entry = self.message_at(caller, &access, seq).await?;
        Ok(v1::GetMessageResponse { message: Some(convert::entry(room.as_str(), &entry)) })
    }

    /// The message at `seq`, as it may be seen with `access`.
    pub(super) async fn message_at(
        &self,
        caller: &Caller,
        access: &Access,
        seq: u64,
    ) -> Result<Entry, Error> {
        let room = &access.room.info.id;
        let not_found = || Error::Refused { room: room.clone(), refusal: Refusal::MessageNotFound(seq) };
        if !access.visible()?.iter().any(|range| range.contains(seq)) {
            return Err(not_found());
        }
        let entries = self.store().read(room, SeqRange { from: seq, to: seq }, 1, false).await?;
        let entry = self.as_of(caller, room, access.until()?, entries).await?.pop();
        entry.filter(is_message).ok_or_else(not_found)
    }

    /// The entries of a page as of `until`. The caller is charged for reading the log to find that out.
    async fn as_of(
        &self,
        caller: &Caller,
        room: &RoomId,
        until: Until,
        entries: Vec<Entry>,
    ) -> Result<Vec<Entry>, Error> {
        self.as_of_in_turn(caller, room, until, entries, None).await
    }

    /// The same for a caller who may have the turn.
    async fn as_of_in_turn(
        &self,
        caller: &Caller,
        room: &RoomId,
        until: Until,
        entries: Vec<Entry>,
        turn: Option<Turn<UserId>>,
    ) -> Result<Vec<Entry>, Error> {
        if !is_changed(&entries, until) {
            return Ok(entries);
        }
        let _turn = match turn {
            Some(turn) => turn,
            None => self.costly_turn(caller).await?,
        };
        let mut read = LogRead::default();
        let entries = as_of_counted(self.store(), room, until, entries, &mut read).await;
        self.gate.charge(caller, read.pages());
        Ok(entries?)
    }

    pub(crate) async fn list_messages(
        &self,
        caller: &Admitted,
        request: v1::ListMessagesRequest,
    ) -> Result<v1::ListMessagesResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let size = parse::page_size(request.page_size)?;
        let access = self.access(caller, &room).await?;
        // Pages forwards only if there is a lower bound and no upper one.
        let latest = request.before_seq != 0 || request.after_seq.is_none();
        let after_seq = request.after_seq.unwrap_or(0);
        let upper = if request.before_seq == 0 { u64::MAX } else { request.before_seq - 1 };
        let bounds = SeqRange { from: after_seq.saturating_add(1), to: upper };
        let mut ranges: Vec<SeqRange> =
            access.visible()?.into_iter().filter_map(|range| range.intersect(bounds)).collect();
        if latest {
            ranges.reverse();
        }
        let until = access.until()?;
        // In scan order, in their present form.
        let mut found: Vec<Entry> = Vec::new();
        let mut next_seq = if latest { request.before_seq } else { after_seq };
        let mut bytes = 0;
        // Most of what is scanned may be no messages, such as edits, which are not in the answer.
        let (mut scanned, mut turn) = (LogRead::default(), None);
        let mut has_more = false;
        'ranges: for mut range in ranges {
            while range.from <= range.to {
                let is_long = scanned.events >= self.sizes().max_scan || scanned.bytes >= MAX_SCAN_BYTES;
                if found.len() >= size || is_long || bytes > MAX_PAGE_BYTES {
                    has_more = true;
                    break 'ranges;
                }
                if scanned.pages() > 0 && turn.is_none() {
                    turn = Some(self.costly_turn(caller).await?);
                }
                let limit = size.min(self.sizes().page_read);
                let mut entries =
                    self.store().read_within(&room, range, limit, latest, MAX_PAGE_BYTES).await?;
                if entries.is_empty() {
                    break;
                }
                if latest {
                    entries.reverse();
                }
                for entry in entries {
                    let seq = entry.event.seq;
                    if is_message(&entry) && found.len() >= size {
                        has_more = true;
                        break 'ranges;
                    }
                    scanned.add(&entry.event);
                    if is_message(&entry) {
                        bytes += convert::entry(room.as_str(), &entry).encoded_len();
                        found.push(entry);
                    }
                    next_seq = seq;
                    if latest {
                        range.to = seq - 1;
                    } else {
                        range.from = seq + 1;
                    }
                }
            }
        }
        // The first page is what was asked for.
        self.gate.charge(caller, scanned.pages().saturating_sub(1));
        let mut messages: Vec<v1::Event> = Vec::with_capacity(found.len());
        let mut bytes = 0;
        for entry in self.as_of_in_turn(caller, &room, until, found, turn).await? {
            let message = convert::entry(room.as_str(), &entry);
            bytes += message.encoded_len();
            if let Some(last) = messages.last().filter(|_| bytes > MAX_PAGE_BYTES) {
                (has_more, next_seq) = (true, last.seq);
                break;
            }
            messages.push(message);
        }
        if latest {
            messages.reverse();
        }
        Ok(v1::ListMessagesResponse {
            messages,
            has_more,
            next_seq,
            head_seq: until.seq(),
            // Does not reveal to a former member how far the room has advanced.
            floor_seq: access.room.info.floor.min(until.seq() + 1),
        })
    }

    pub(crate) async fn list_events(
        &self,
        caller: &Admitted,
        request: v1::ListEventsRequest,
    ) -> Result<v1::ListEventsResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let size = parse::page_size(request.page_size)?;
        let access = self.access(caller, &room).await?;
        let until = access.until()?;
        let head_seq = until.seq();
        let visible = access.visible()?;
        let first = visible.first().map_or(1, |range| range.from);
        let wanted = SeqRange {
            from: if request.from_seq == 0 { first } else { request.from_seq },
            to: if request.to_seq == 0 { head_seq } else { request.to_seq.min(head_seq) },
        };
        let ranges: Vec<SeqRange> = visible.iter().filter_map(|range| range.intersect(wanted)).collect();
        let (found, read_to) = self.page_of_events(&room, &ranges, size).await?;
        let mut found = self.as_of(caller, &room, until, found).await?.into_iter().peekable();
        let mut response = v1::ListEventsResponse { head_seq, ..Default::default() };
        let mut at = wanted.from;
        let mut bytes = 0;
        for range in ranges {
            if at < range.from {
                response.gaps.push(hidden(&access, at, range.from - 1));
                at = range.from;
            }
            while let Some(mut entry) = found.next_if(|entry| entry.event.seq <= range.to) {
                if let Some(target) = entry.event.body.target()
                    && let Some(blank) = entry.event.without_content()
                    && !access.shows(target)?
                {
                    entry.event = blank;
                }
                let event = convert::entry(room.as_str(), &entry);
                bytes += event.encoded_len();
                let full = response.events.len() >= size || bytes > MAX_PAGE_BYTES;
                if full && !response.events.is_empty() {
                    response.next_from_seq = at;
                    return Ok(response);
                }
                at = entry.event.seq + 1;
                response.events.push(event);
            }
            if let Some(read_to) = read_to.filter(|read_to| *read_to < range.to) {
                response.next_from_seq = at.max(read_to + 1);
                return Ok(response);
            }
        }
        if at <= wanted.to {
            response.gaps.push(hidden(&access, at, wanted.to));
        }
        Ok(response)
    }

    /// Events of `ranges` for a page of `size`, in their present form, and the last of them if there may be more.
    async fn page_of_events(
        &self,
        room: &RoomId,
        ranges: &[SeqRange],
        size: usize,
    ) -> Result<(Vec<Entry>, Option<u64>), Error> {
        let (mut found, mut bytes) = (Vec::<Entry>::new(), 0);
        for mut range in ranges.iter().copied() {
            while range.from <= range.to {
                if let Some(last) = found.last().filter(|_| found.len() > size || bytes > MAX_PAGE_BYTES) {
                    let read_to = last.event.seq;
                    return Ok((found, Some(read_to)));
                }
                let limit = size.min(self.sizes().page_read);
                let entries = self.store().read_within(room, range, limit, false, MAX_PAGE_BYTES).await?;
                let Some(last) = entries.last() else { break };
                range.from = last.event.seq + 1;
                let encoded = |entry| convert::entry(room.as_str(), entry).encoded_len();
                bytes += entries.iter().map(encoded).sum::<usize>();
                found.extend(entries);
            }
        }
        Ok((found, None))
    }

    pub(crate) async fn edit_message(
        &self,
        caller: &Admitted,
        request: v1::EditMessageRequest,
    ) -> Result<v1::EditMessageResponse, Error> {
        let action = Action::Edit {
            target: parse::seq(request.seq)?,
            // Whether an empty text is allowed depends on the kind of message,
            // which the room checks.
            text: parse::text_of(&request.text, true)?,
            data: parse::data_change(request.data.as_ref(), request.unset_data)?,
        };
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        Ok(v1::EditMessageResponse { outcome: Some(self.change(caller, asked, action).await?) })
    }

    pub(crate) async fn delete_message(
        &self,
        caller: &Admitted,
        request: v1::DeleteMessageRequest,
    ) -> Result<v1::DeleteMessageResponse, Error> {
        let action = Action::Delete { target: parse::seq(request.seq)? };
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        Ok(v1::DeleteMessageResponse { outcome: Some(self.change(caller, asked, action).await?) })
    }

    pub(crate) async fn add_reaction(
        &self,
        caller: &Admitted,
        request: v1::AddReactionRequest,
    ) -> Result<v1::AddReactionResponse, Error> {
        let action = Action::React { target: parse::seq(request.seq)?, emoji: parse::emoji(&request.emoji)? };
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        Ok(v1::AddReactionResponse { outcome: Some(self.change(caller, asked, action).await?) })
    }

    pub(crate) async fn remove_reaction(
        &self,
        caller: &Admitted,
        request: v1::RemoveReactionRequest,
    ) -> Result<v1::RemoveReactionResponse, Error> {
        let action =
            Action::Unreact { target: parse::seq(request.seq)?, emoji: parse::old_emoji(&request.emoji)? };
        let asked = Asked { room: &request.room_id, request: &request.request_id, after: request.after_seq };
        Ok(v1::RemoveReactionResponse { outcome: Some(self.change(caller, asked, action).await?) })
    }

    pub(crate) async fn send_typing(
        &self,
        caller: &Admitted,
        request: v1::SendTypingRequest,
    ) -> Result<v1::SendTypingResponse, Error> {
        let room = parse::room_id(&request.room_id)?;
        let room = self.room_of_member(&caller.user, &room, 0).await?;
        // No more than receipts is it shown to a stranger who was not answered.
        if self.cluster().has_block_in(&caller.user, &room).await?
            || self.cluster().hides_in(&caller.user, &room.room).await
        {
            return Ok(v1::SendTypingResponse {});
        }
        // Clients show it for a while: repeating it sooner says nothing new.
        if self.typing.check(&(caller.user.clone(), room.room.clone())).is_err() {
            return Ok(v1::SendTypingResponse {});
        }
        let typing = v1::Typing {
            room_id: room.room.as_str().to_owned(),
            user_id: caller.user.as_str().to_owned(),
            expires_after: TYPING.try_into().ok(),
        };
        let frame = SharedFrame::signal(v1::signal::Signal::Typing(typing));
        self.cluster().signal(&[room], &frame, std::slice::from_ref(&caller.user)).await;
        Ok(v1::SendTypingResponse {})
    }
}

fn is_message(entry: &Entry) -> bool {
    matches!(entry.event.body, Body::Message(_))
}

fn hidden(access: &Access, from: u64, to: u64) -> v1::Gap {
    let below_floor = to < access.room.info.floor;
    let reason = if below_floor { v1::GapReason::Retention } else { v1::GapReason::NotMember };
    v1::Gap {
        room_id: access.room.info.id.as_str().to_owned(),
        from_seq: from,
        to_seq: to,
        reason: reason.into(),
        epoch: access.room.info.epoch,
    }
}
