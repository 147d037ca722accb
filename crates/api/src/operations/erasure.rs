//! Deleting users: the account at once, then room by room what they left there.

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use parlance_core::{
    Action, Authority, Body, Caller, Command, Entry, Refusal, RequestId, RoomId, RoomKind, SeqRange,
    SettingsChange, UserId,
};
use parlance_proto::v1;
use parlance_proto::v1::ErasedMessages;
use parlance_store::{StoredRoom, User, UserChange, UserRoom, UserState};
use tokio::time::Instant;

use super::only_the_app;
use super::parse;
use super::views::user_to_proto;
use super::walk::{Place, Visit};
use crate::gate::Admitted;
use crate::limits::{ERASED_AT_ONCE, WALK_TIME};
use crate::{Api, Error};

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
        let known = ErasedMessages::try_from(request.messages);
        let messages = known.map_err(|_| parse::field("messages", "is not one that this server knows"))?;
        let place = Place::parse(&request.page_token)?;
        let user = self.close_account(&id, messages).await?;
        self.lift_blocks(&id).await?;
        let mut eraser = Eraser {
            api: self,
            caller,
            user: &id,
            removes: messages == ErasedMessages::Remove,
            until: Instant::now() + WALK_TIME,
        };
        let walked = self.walk(&id, place, &mut eraser).await?;
        Ok(v1::DeleteUserResponse {
            user: Some(user_to_proto(&user)),
            next_page_token: Place::token(walked.next.as_ref()),
            unreadable_room_ids: walked.unreadable,
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

    async fn erase(&self, row: &UserRoom, seq: u64) -> Result<Option<u64>, Error> {
        if self.is_late() {
            return Ok(Some(seq));
        }
        let Some(room) = self.api.store().room(&row.room).await?.filter(|room| !room.info.deleted) else {
            return Ok(None);
        };
        if self.removes {
            let mut from = seq.max(1);
            while from <= room.head().seq() {
                if self.is_late() {
                    return Ok(Some(from));
                }
                from = self.remove_from(row, &room, from).await?;
            }
        }
        if row.member.is_active() {
            self.leave(&room).await?;
        }
        Ok(None)
    }

    /// Removes what a page of the log holds of the user. Returns where the next page begins.
    async fn remove_from(&self, row: &UserRoom, room: &StoredRoom, from: u64) -> Result<u64, Error> {
        let (range, size) = (SeqRange { from, to: room.head().seq() }, self.api.sizes().page_read);
        let entries = self.api.store().read(&row.room, range, size, false).await?;
        let next = entries.last().map_or(range.to, |last| last.event.seq) + 1;
        let is_member = row.member.is_active();
        let commands = entries.iter().flat_map(|entry| self.removals(entry, is_member));
        stream::iter(commands.collect::<Vec<_>>())
            .map(|command| self.submit(&row.room, command))
            .buffer_unordered(ERASED_AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(next)
    }

    /// The commands that remove what `entry` holds of the user: the message, or reactions to it.
    fn removals(&self, entry: &Entry, is_member: bool) -> Vec<Command> {
        let (event, overlay) = (&entry.event, entry.overlay.as_ref());
        if !matches!(event.body, Body::Message(_)) || overlay.is_some_and(|overlay| overlay.deleted) {
            return Vec::new();
        }
        let target = event.seq;
        if event.actor == *self.user {
            return vec![self.by_app(&format!("erase-{target}"), Action::Delete { target })];
        }
        let reactions = overlay.map(|overlay| &overlay.reactions).filter(|_| is_member);
        let own = reactions.into_iter().flatten().filter(|(_, users)| users.contains(self.user));
        own.enumerate()
            .map(|(number, (emoji, _))| {
                let request = format!("erase-{target}-{number}");
                self.by_user(&request, Action::Unreact { target, emoji: emoji.clone() })
            })
            .collect()
    }

    /// Has the user leave; a direct room, which nobody leaves, is frozen.
    async fn leave(&self, room: &StoredRoom) -> Result<(), Error> {
        let command = match room.info.kind {
            RoomKind::Direct => {
                let change = SettingsChange { frozen: Some(true), ..SettingsChange::default() };
                self.by_app("erase-freeze", Action::Update(change))
            }
            _ => self.by_user("erase-leave", Action::Leave),
        };
        self.submit(&room.info.id, command).await
    }

    fn by_app(&self, request: &str, action: Action) -> Command {
        self.command(self.caller.user.clone(), self.caller.authority(), request, action)
    }

    fn by_user(&self, request: &str, action: Action) -> Command {
        let authority = Authority::OnBehalf { service: self.caller.user.clone() };
        self.command(self.user.clone(), authority, request, action)
    }

    /// The id is the same in each call, so that a repeat changes nothing.
    fn command(&self, actor: UserId, authority: Authority, request: &str, action: Action) -> Command {
        let request = RequestId::parse(request).unwrap_or_else(|error| unreachable!("{request}: {error}"));
        Command { actor, authority, request, after: None, action }
    }

    /// Carries out a command. What somebody else has removed meanwhile is none of ours any more.
    async fn submit(&self, room: &RoomId, command: Command) -> Result<(), Error> {
        match self.api.rooms().submit(room, command).await.map_err(Error::from) {
            Ok(_) => Ok(()),
            Err(Error::Refused {
                refusal:
                    Refusal::MessageDeleted(_) | Refusal::NotMember | Refusal::RoomDeleted | Refusal::Frozen,
                ..
            }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
