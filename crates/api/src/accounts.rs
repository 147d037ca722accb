//! Which users exist and may do anything, as far as this node has looked. The store decides; this saves reading it for
//! each call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::mapref::entry::Entry;
use futures::FutureExt;
use futures::future::BoxFuture;
use parlance_core::{Caller, UserId};
use parlance_runtime::map::Map;
use parlance_store::{Store, StoreError, User, UserState};

use crate::Error;
use crate::claimed::ProfileClaims;
use crate::ongoing::{Ongoing, OngoingCall};
use crate::turns::{Turn, Turns};

/// What the row of a user was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    /// There was none: the app's own backend decides who exists, so they may act.
    Absent,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    state: State,
    /// When the latest token was issued whose claims the profile has followed; 0 for one that does not say.
    claims: Option<u64>,
}

/// Users who are deactivated or deleted are never remembered, so that they may act again at once.
pub(crate) struct Accounts {
    store: Arc<dyn Store>,
    known: Map<UserId, Known>,
    /// Changes of states so far: what was read before one is not remembered after it.
    changes: AtomicU64,
    most: usize,
    /// A call that waits for the row of its user goes before later ones of the same user.
    turns: Arc<Turns<UserId>>,
    claims: Option<ProfileClaims>,
    ongoing: Arc<Ongoing>,
}

impl Accounts {
    pub(crate) fn new(store: Arc<dyn Store>, most: usize) -> Self {
        let (known, changes, turns) = (Map::default(), AtomicU64::new(0), Arc::default());
        Self { store, known, changes, most, turns, claims: None, ongoing: Arc::default() }
    }

    /// Has profiles follow the claims of tokens.
    pub(crate) fn following(self, claims: ProfileClaims) -> Self {
        Self { claims: Some(claims), ..self }
    }

    /// Records that a call of a user is carried out. Before it is checked whether they may act: a deletion waits for
    /// those that passed the check before it.
    pub(crate) fn begin(&self, caller: &Caller) -> OngoingCall {
        self.ongoing.begin(&caller.user)
    }

    /// The calls that are carried out.
    pub(crate) fn ongoing(&self) -> &Arc<Ongoing> {
        &self.ongoing
    }

    /// Whether the caller may act, and nothing that their token says is to be looked at.
    fn is_settled(&self, caller: &Caller) -> bool {
        let is_known = |user: &UserId| self.known.contains_key(user);
        if caller.is_service {
            return is_known(&caller.user);
        }
        let claims = self.followed(caller).map(|_| caller.issued_at.unwrap_or(0));
        self.known.get(&caller.user).is_some_and(|known| claims <= known.claims)
            && caller.service.as_ref().is_none_or(is_known)
    }

    /// What has the profile of `caller` follow their token, if it does.
    fn followed(&self, caller: &Caller) -> Option<&ProfileClaims> {
        self.claims.as_ref().filter(|_| caller.profile.is_some() && !caller.is_service)
    }

    /// What a call has to wait for before it is carried out, which then begins within the turn: calls of one user are
    /// carried out in their order. `None` if the user may act, and none of their calls waits.
    pub(crate) fn turn(&self, caller: &Caller) -> Option<BoxFuture<'_, Result<Turn<UserId>, Error>>> {
        if self.is_settled(caller) && !self.turns.is_taken(&caller.user) {
            return None;
        }
        let caller = caller.clone();
        let waiting = async move {
            let turn = self.turns.take_for(caller.user.clone()).await;
            self.check(&caller).await?;
            Ok(turn)
        };
        Some(waiting.boxed())
    }

    /// Refuses users who may not act. The profiles of others follow their tokens.
    pub(crate) async fn check(&self, caller: &Caller) -> Result<(), Error> {
        if self.is_settled(caller) {
            return Ok(());
        }
        let since = self.changes();
        let found = self.look_up(&caller.user).await?;
        if let Some(user) = &found {
            may_act(user, caller)?;
        }
        if let Some(claims) = self.followed(caller) {
            claims.follow(found, caller).await?;
            self.insert(&caller.user, State::Active, Some(caller.issued_at.unwrap_or(0)), since);
        }
        // A deleted user's token has no authority left, whomever it acts as.
        let Some(service) = &caller.service else { return Ok(()) };
        match self.look_up(service).await?.map(|user| user.state) {
            Some(UserState::Deleted) => Err(Error::UserDeleted),
            _ => Ok(()),
        }
    }

    /// Reads a user's row.
    pub(crate) async fn look_up(&self, user: &UserId) -> Result<Option<User>, StoreError> {
        let seen = self.changes();
        let found = self.store.user(user).await?;
        match found.as_ref().map(|found| found.state) {
            Some(UserState::Active) => self.insert(user, State::Active, None, seen),
            Some(UserState::Deactivated | UserState::Deleted) => {}
            None => self.insert(user, State::Absent, None, seen),
        }
        Ok(found)
    }

    /// Whether a user exists and may act.
    pub(crate) fn is_known(&self, user: &UserId) -> bool {
        self.known.get(user).is_some_and(|known| known.state == State::Active)
    }

    /// The place to be given to [`Self::remember`] for what is read from here on.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Remembers a user who was active `since`.
    pub(crate) fn remember(&self, user: &UserId, since: u64) {
        self.insert(user, State::Active, None, since);
    }

    fn insert(&self, user: &UserId, state: State, claims: Option<u64>, since: u64) {
        self.known.evict(self.most);
        // A change is counted before its user is forgotten, which waits for this entry: no call passes with what was read
        // before.
        let entry = self.known.entry(user.clone());
        if self.changes() == since {
            let claims = claims.max(match &entry {
                Entry::Occupied(known) => known.get().claims,
                Entry::Vacant(_) => None,
            });
            entry.insert(Known { state, claims });
        }
    }

    /// Users remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Reads the row of a user again next time, or of all: its state has changed.
    pub(crate) fn forget(&self, user: Option<&UserId>) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        match user {
            Some(user) => drop(self.known.remove(user)),
            None => self.known.clear(),
        }
    }
}

/// Ends the sessions of users on all nodes of the store.
pub trait EndSessions: Send + Sync + 'static {
    /// Has every node end the sessions of `user` and read their row again; durable once it returns.
    fn end<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, Result<(), StoreError>>;

    /// How long other nodes may take to do so. Zero: there are none.
    fn longest(&self) -> Duration;
}

/// Refuses users who are deactivated or deleted. The app's own backend may act whether or not its user is deactivated.
pub(crate) fn may_act(user: &User, caller: &Caller) -> Result<(), Error> {
    // The token of an app that acts as a user is in order.
    let is_own = caller.service.is_none();
    match user.state {
        UserState::Active => Ok(()),
        UserState::Deactivated if caller.is_service => Ok(()),
        UserState::Deactivated if is_own => Err(Error::UserDeactivated),
        UserState::Deactivated => Err(Error::OtherDeactivated),
        UserState::Deleted if is_own => Err(Error::UserDeleted),
        UserState::Deleted => Err(Error::OtherDeleted),
    }
}
