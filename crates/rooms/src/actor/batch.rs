//! Decides waiting commands in as few appends as possible.
use std::collections::{BTreeSet, VecDeque};

use futures::future::join_all;
use parlance_core::{
    Authority, Command, Creation, Decision, Draft, Need, Outcome, Refusal, Room, Settings, Title, Topic,
    UserId, Visibility,
};
use parlance_runtime::random;
use parlance_store::{AppendError, StoreError, UserState};

use super::Actor;
use super::load::Loaded;
use super::waiting::{Waiting, answer_all};
use crate::error::Error;
use crate::limits::FAILED_ALONE;
use crate::messages::{Decided, PendingCommand};

impl Actor {
    /// Decides as many of `commands` as fit into one append, then appends, delivers and answers. On an
    /// error, unanswered commands remain in `commands`.
    pub(super) async fn serve_some(
        &mut self,
        commands: &mut VecDeque<PendingCommand>,
    ) -> Result<(), AppendError> {
        let is_fresh = self.room.is_none();
        let Some(room) = self.load().await? else {
            self.serve_without_room(commands).await?;
            return Ok(());
        };
        let mut draft = room.draft();
        let mut waiting: Vec<Waiting> = Vec::new();
        while let Some(pending) = commands.pop_front() {
            match self.decide_one(&mut draft, &pending).await {
                Ok((result, row_read)) => {
                    self.set_decided(&pending, result.is_ok());
                    waiting.push(Waiting { pending, result, row_read });
                }
                // It must not be decided here, or what it needs cannot be read: other commands are not
                // affected.
                Err(Undecided::NeedsRoster) => {
                    commands.push_front(pending);
                    self.give_back(commands, waiting);
                    return Ok(self.read_roster().await?);
                }
                Err(Undecided::Alone(error)) => pending.answer(Err(error)),
                Err(Undecided::All(AppendError::Store(error))) if self.failed_alone < FAILED_ALONE => {
                    self.failed_alone += 1;
                    pending.answer(Err(Error::Store(error)));
                }
                Err(Undecided::All(error)) => {
                    commands.push_front(pending);
                    self.give_back(commands, waiting);
                    return self.behind(error).await;
                }
            }
            if !draft.can_take_more() {
                break;
            }
        }
        let appended = match draft.finish(random::nonce()) {
            (Some(append), after) => self.append(append, after).await,
            (None, loaded) => {
                self.room = Some(loaded);
                self.confirm(&mut waiting, is_fresh).await
            }
        };
        match appended {
            Ok(()) => {
                self.publish_repeats(&waiting).await;
                answer_all(waiting);
                Ok(())
            }
            Err(error) => {
                self.give_back(commands, waiting);
                self.behind(error).await
            }
        }
    }

    /// A repeat may be sent because the node that carried out the request died before publishing it.
    async fn publish_repeats(&self, waiting: &[Waiting]) {
        let Some(room) = &self.room else { return };
        let repeats =
            waiting.iter().filter(|waiting| matches!(waiting.result, Ok(Outcome { is_repeat: true, .. })));
        let mut users = BTreeSet::new();
        let mut any = false;
        for repeat in repeats {
            any = true;
            users.extend(repeat.pending.command.concerned().cloned());
        }
        if any {
            self.shared.cluster.announce(&self.id, room.head(), users).await;
        }
    }

    /// A refusal, or a command without changes, may be due to a stale state. An append would detect
    /// that; without one the head is checked, unless the room was just read. A repeat is true in any
    /// case.
    ///
    /// Someone who never was a member costs one read of the room and one of their row, whether the room
    /// is loaded, is not, or does not exist: how long their answer takes must not say which.
    pub(super) async fn confirm(&self, waiting: &mut [Waiting], is_fresh: bool) -> Result<(), AppendError> {
        if waiting.iter().all(|waiting| matches!(waiting.result, Ok(Outcome { is_repeat: true, .. }))) {
            return Ok(());
        }
        if let Some(room) = &self.room {
            let strangers =
                waiting.iter_mut().filter(|waiting| !waiting.row_read && waiting.is_stranger(room));
            join_all(strangers.map(|waiting| async {
                // If the row cannot be read, other commands are not affected.
                if let Err(error) = self.shared.store.member(&self.id, &waiting.pending.command.actor).await {
                    waiting.result = Err(Error::Store(error));
                }
            }))
            .await;
        }
        if is_fresh {
            return Ok(());
        }
        let stored = self.shared.store.room(&self.id).await?;
        let head = self.room.as_ref().map(Room::head);
        if stored.map(|stored| stored.head()) == head { Ok(()) } else { Err(AppendError::HeadMoved) }
    }

    /// The room does not exist yet. The first direct message creates it; earlier requests that know its
    /// id fail.
    async fn serve_without_room(&self, commands: &mut VecDeque<PendingCommand>) -> Result<(), StoreError> {
        loop {
            let first_message = commands.iter().position(|pending| pending.direct_with.is_some());
            let others = commands.drain(..first_message.unwrap_or(commands.len()));
            // As for an existing room: see `confirm`.
            join_all(others.map(|pending| async {
                let row = self.shared.store.member(&self.id, &pending.command.actor).await;
                pending.answer(Err(row.map_or_else(Error::Store, |_| Error::RoomNotFound)));
            }))
            .await;
            let Some(pending) = commands.pop_front() else { return Ok(()) };
            let Some(other) = &pending.direct_with else { continue };
            match self.may_create_with(&pending, other).await {
                Ok(Ok(())) => {
                    let creation = self.direct_room(&pending.command, other);
                    commands.push_front(pending);
                    // Runs in the actor's own task, which is never cancelled.
                    self.shared.clone().create_and_announce(creation).await?;
                    return Ok(());
                }
                Ok(Err(refused)) => pending.answer(Err(refused)),
                Err(error) => {
                    commands.push_front(pending);
                    return Err(error);
                }
            }
        }
    }

    /// Whether the command may create the direct room with `other`, or why not.
    pub(super) async fn may_create_with(
        &self,
        pending: &PendingCommand,
        other: &UserId,
    ) -> Result<Result<(), Error>, StoreError> {
        let command = &pending.command;
        let other_one = self.shared.store.user(other).await?;
        if other_one.is_none_or(|user| user.state == UserState::Deleted) {
            return Ok(Err(Error::UserNotFound(other.to_string())));
        }
        let is_app = matches!(command.authority, Authority::App { .. });
        if !is_app && self.shared.cluster.blocks_of(other).await?.contains(&command.actor) {
            let refusal = Refusal::NotAccepted(other.clone());
            return Ok(Err(Error::Refused { room: self.id.clone(), refusal }));
        }
        // What would be refused in the room creates none.
        let mut room = self.direct_room(command, other).into_room();
        match self.decide(&mut room.draft(), pending).await {
            Ok((decided, _)) => Ok(decided.map(drop)),
            Err(Undecided::Alone(error)) => Ok(Err(error)),
            Err(Undecided::All(AppendError::Store(error))) => Err(error),
            // Another node has created it meanwhile.
            Err(_) => Ok(Ok(())),
        }
    }

    /// The direct room that `command` creates.
    fn direct_room(&self, command: &Command, other: &UserId) -> Creation {
        let (service, now) = (command.authority.service(), self.shared.clock.now());
        Creation::direct(&command.actor, service, other, direct_settings(), random::nonce(), now)
    }

    async fn decide_one(
        &self,
        draft: &mut Draft,
        pending: &PendingCommand,
    ) -> Result<(Result<Outcome, Error>, bool), Undecided> {
        if self.is_obsolete(draft, pending).await? {
            return Err(Undecided::Alone(Error::Contention));
        }
        self.decide(draft, pending).await
    }

    /// Whether a command was forwarded under another membership of its actor than the current one, so
    /// that the forwarding node may have refused it since; or whether the previous one was not decided
    /// here.
    async fn is_obsolete(&self, draft: &mut Draft, pending: &PendingCommand) -> Result<bool, AppendError> {
        let Decided::ForAnother(origin) = &pending.decided else { return Ok(false) };
        let actor = &pending.command.actor;
        let decided = || self.decided_for.get(&(origin.node.clone(), actor.clone()));
        if origin.previous != 0 && decided() != Some(&origin.previous) {
            return Ok(true);
        }
        if draft.room_mut().member(actor).is_none()
            && let Loaded::Ahead = self.satisfy(draft.room_mut(), Need::Member(actor.clone())).await?
        {
            return Err(AppendError::HeadMoved);
        }
        let row = draft.room_mut().member(actor).and_then(Option::as_ref);
        Ok(!row.is_some_and(|row| row.is_active() && row.changed_at() <= origin.head))
    }

    /// Decides one command, loading what it needs. Says whether the actor's row was read.
    pub(super) async fn decide(
        &self,
        draft: &mut Draft,
        pending: &PendingCommand,
    ) -> Result<(Result<Outcome, Error>, bool), Undecided> {
        let mut row_read = false;
        loop {
            let need = match draft.decide(&pending.command, self.shared.clock.now()) {
                Ok(Decision::Done(outcome)) => return Ok((Ok(outcome), row_read)),
                Ok(Decision::Need(need)) => need,
                Err(refusal) => {
                    return Ok((Err(Error::Refused { room: self.id.clone(), refusal }), row_read));
                }
            };
            row_read |= matches!(&need, Need::Member(user) if *user == pending.command.actor);
            match self.satisfy(draft.room_mut(), need).await.map_err(AppendError::from)? {
                Loaded::Into(()) => {}
                Loaded::Ahead => return Err(AppendError::HeadMoved.into()),
                Loaded::NeedsRoster => return Err(Undecided::NeedsRoster),
            }
        }
    }
}

/// Why a command was not decided.
pub(super) enum Undecided {
    /// All members are to be read first.
    NeedsRoster,
    /// The error affects this command only.
    Alone(Error),
    /// The error may affect all commands of the batch.
    All(AppendError),
}

impl From<AppendError> for Undecided {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Store(error @ StoreError::Damaged(_)) => Self::Alone(Error::Store(error)),
            error => Self::All(error),
        }
    }
}

/// A direct room has no settings of its own.
fn direct_settings() -> Settings {
    Settings {
        title: Title::default(),
        topic: Topic::default(),
        visibility: Visibility::SinceJoined,
        ..Settings::default()
    }
}
