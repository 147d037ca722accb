//! Deleting users: the account at once, then room by room what they left there.

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use parlance_core::{
    Action, Authority, Body, Caller, Command, DataChange, Entry, Refusal, RoomId, RoomKind, SeqRange,
    SettingsChange, UserId,
};
use parlance_proto::v1;
use parlance_proto::v1::ErasedMessages;
use parlance_store::{StoredRoom, User, UserChange, UserRoom, UserState};
use tokio::time::Instant;

use super::parse;
use super::settling::is_waiting;
use super::views::user_to_proto;
use super::walk::{Place, Visit, Walked, is_of_one_room};
use super::{left_out, only_the_app, random_request};
use crate::gate::Admitted;
use crate::limits::{ERASED_AT_ONCE, WALK_TIME};
use crate::{Api, Error};

/// The page token of a call that only has reports left: a place has two parts.
const REPORTS: &str = "reports";

impl Api {
    pub(crate) async fn delete_user(
        &self,
        caller: &Admitted,
        request: v1::DeleteUserRequest,
    ) -> Result<v1::DeleteUserResponse, Error> {
        only_the_app(caller)?;
        let id = parse::user_id("user_id", &request.user_id)?;
        if id == caller.user {
            return Err(parse::field("user_id", "is whoever calls"));
        }
        let messages = parse::known("messages", request.messages)?;
        let has_rooms = request.page_token != REPORTS;
        let is_begin = request.page_token.is_empty() || is_waiting(&request.page_token);
        let place = if has_rooms && !is_begin { Place::parse(&request.page_token)? } else { None };
        let user = self.close_account(&id, messages).await?;
        if is_begin && let Some(next_page_token) = self.settle(&user, &request.page_token).await? {
            let user = Some(user_to_proto(&user));
            return Ok(v1::DeleteUserResponse { user, next_page_token, unreadable_room_ids: Vec::new() });
        }
        self.lift_blocks(&id).await?;
        let until = Instant::now() + WALK_TIME;
        let removes = messages == ErasedMessages::Remove;
        let mut eraser = Eraser { api: self, caller, user: &id, removes, until };
        let mut unreadable =
            if place.is_none() && has_rooms { eraser.decline_all().await? } else { Vec::new() };
        let walked = if has_rooms { self.walk(&id, place, &mut eraser).await? } else { Walked::default() };
        unreadable.extend(walked.unreadable);
        // Last, so that nothing is reported any more that is still to be erased.
        let next_page_token = match &walked.next {
            None if !self.erase_from_reports(&id, until).await? => REPORTS.to_owned(),
            next => Place::token(next.as_ref()),
        };
        Ok(v1::DeleteUserResponse {
            user: Some(user_to_proto(&user)),
            next_page_token,
            unreadable_room_ids: unreadable,
        })
    }

    /// Marks the user as deleted, and erases the profile. Ends their sessions again if that was done before.
    async fn close_account(&self, id: &UserId, messages: ErasedMessages) -> Result<User, Error> {
        let name = match messages {
            ErasedMessages::Keep => None,
            _ => Some(parse::name(id.as_str())?),
        };
        let change = UserChange { name, state: Some(UserState::Deleted), ..UserChange::default() };
        match self.change_state(id.clone(), change).await {
            Err(Error::UserNotFound(_)) => {}
            closed => return closed,
        }
        let deleted = self.store().user(id).await?.filter(|user| user.state == UserState::Deleted);
        let deleted = deleted.ok_or_else(|| Error::UserNotFound(id.to_string()))?;
        self.end_sessions(id).await?;
        Ok(deleted)
    }

    async fn lift_blocks(&self, id: &UserId) -> Result<(), Error> {
        let blocks = self.store().blocks(id).await?;
        for (other, _) in blocks.iter() {
            self.set_block(id, other, None).await?;
        }
        Ok(())
    }
}

/// Erases what a user left in a room.
struct Eraser<'a> {
    api: &'a Api,
    caller: &'a Caller,
    user: &'a UserId,
    /// Whether messages are removed.
    removes: bool,
    /// When the rest is left to the next call.
    until: Instant,
}

impl Visit for Eraser<'_> {
    fn visit<'a>(&'a mut self, row: &'a UserRoom, seq: u64) -> BoxFuture<'a, Result<Option<u64>, Error>> {
        Box::pin(self.erase(row, seq))
    }
}

impl Eraser<'_> {
    fn is_late(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Declines all invitations, also those that nobody is shown, and withdraws all requests to join, also those that have
    /// expired. Returns the rooms where that failed.
    async fn decline_all(&self) -> Result<Vec<String>, Error> {
        let invited = self.api.all_invited(self.user).await?;
        let mut unreadable = invited.unreadable;
        for room in &invited.rooms {
            for action in [Action::Decline, Action::Withdraw] {
                match self.submit(room, self.by_user(action)).await {
                    Ok(()) | Err(Error::RoomNotFound) => {}
                    Err(error) if is_of_one_room(&error) => unreadable.push(left_out(room, error)?),
                    Err(error) => return Err(error),
                }
            }
        }
        unreadable.sort();
        unreadable.dedup();
        Ok(unreadable)
    }

    async fn erase(&self, row: &UserRoom, seq: u64) -> Result<Option<u64>, Error> {
        if self.is_late() {
            return Ok(Some(seq));
        }
        let Some(mut room) = self.room(&row.room).await? else { return Ok(None) };
        if row.member.is_active() {
            self.leave(&room).await?;
            // Its head is read after that: nothing of theirs comes later.
            let Some(left) = self.room(&row.room).await?.filter(|_| self.removes) else { return Ok(None) };
            room = left;
        }
        if !self.removes {
            return Ok(None);
        }
        let mut from = seq.max(1);
        while from <= room.head().seq() {
            if self.is_late() {
                return Ok(Some(from));
            }
            from = self.remove_from(&room, from).await?;
        }
        Ok(None)
    }

    /// A room that is not deleted.
    async fn room(&self, id: &RoomId) -> Result<Option<StoredRoom>, Error> {
        Ok(self.api.store().room(id).await?.filter(|room| !room.info.deleted))
    }

    /// Removes what a page of the log holds of the user. Returns where the next page begins.
    async fn remove_from(&self, room: &StoredRoom, from: u64) -> Result<u64, Error> {
        let (id, range) = (&room.info.id, SeqRange { from, to: room.head().seq() });
        let entries = self.api.store().read(id, range, self.api.sizes().page_read, false).await?;
        let next = entries.last().map_or(range.to, |last| last.event.seq) + 1;
        let commands = entries.iter().flat_map(|entry| self.removals(entry));
        stream::iter(commands.collect::<Vec<_>>())
            .map(|command| self.submit(id, command))
            .buffer_unordered(ERASED_AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(next)
    }

    /// The commands that remove what `entry` holds of the user: the message, or reactions to it.
    fn removals(&self, entry: &Entry) -> Vec<Command> {
        let (event, overlay) = (&entry.event, entry.overlay.as_ref());
        if !matches!(event.body, Body::Message(_)) || overlay.is_some_and(|overlay| overlay.deleted) {
            return Vec::new();
        }
        let target = event.seq;
        if event.actor == *self.user {
            return vec![self.by_app(Action::Delete { target })];
        }
        let reactions = overlay.into_iter().flat_map(|overlay| &overlay.reactions);
        let own = reactions.filter(|(_, users)| users.contains(self.user));
        own.map(|(emoji, _)| self.by_user(Action::Unreact { target, emoji: emoji.clone() })).collect()
    }

    /// Has the user leave, which ends the data on them; a direct room, which nobody leaves, is frozen.
    async fn leave(&self, room: &StoredRoom) -> Result<(), Error> {
        let id = &room.info.id;
        if room.info.kind != RoomKind::Direct {
            return self.submit(id, self.by_user(Action::Leave)).await;
        }
        let change = SettingsChange { frozen: Some(true), ..SettingsChange::default() };
        self.submit(id, self.by_app(Action::Update(change))).await?;
        let Some(member) = self.api.store().member(id, self.user).await? else { return Ok(()) };
        let unset: Vec<String> = member.data.values.entries().map(|(key, _)| key.to_owned()).collect();
        if unset.is_empty() {
            return Ok(());
        }
        let data = DataChange { unset, ..DataChange::default() };
        self.submit(id, self.by_app(Action::UpdateMember { user: self.user.clone(), data })).await
    }

    fn by_app(&self, action: Action) -> Command {
        command(self.caller.user.clone(), self.caller.authority(), action)
    }

    fn by_user(&self, action: Action) -> Command {
        command(self.user.clone(), Authority::Erasure { service: self.caller.user.clone() }, action)
    }

    /// Carries out a command. What somebody else has removed meanwhile is none of ours any more.
    async fn submit(&self, room: &RoomId, command: Command) -> Result<(), Error> {
        match self.api.rooms().submit(room, command).await.map_err(Error::from) {
            Ok(_) => Ok(()),
            Err(Error::Refused {
                refusal: Refusal::MessageDeleted(_) | Refusal::NotMember | Refusal::RoomDeleted,
                ..
            }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A command with a random request id. The user could use a predictable one first, and the command would then count as
/// a repeat. Repeated calls need no equal ids: removing what is removed already has no effect.
fn command(actor: UserId, authority: Authority, action: Action) -> Command {
    Command { actor, authority, request: random_request("erase"), after: None, action }
}
