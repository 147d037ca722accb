use std::collections::BTreeMap;

use crate::limits::{MAX_JOIN_REQUESTS, REJECTION_AGE};
use crate::{JoinRequest, Link, LinkHash, Listed, Member, RequestEnd, Timestamp, UserId};

/// Someone may become a member of a room, if they accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Who invited them.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// When it expires.
    pub until: Timestamp,
    /// The event.
    pub seq: u64,
}

impl Invitation {
    /// Whether it can be accepted at `at`.
    pub fn is_open_at(&self, at: Timestamp) -> bool {
        at < self.until
    }

    /// Whether it can be accepted at `at` by its user, whose row in the room is `row`. Versions without invitations end
    /// none by adding or removing somebody.
    pub fn is_open_for(&self, row: Option<&Member>, at: Timestamp) -> bool {
        self.is_open_at(at) && row.is_none_or(|row| self.seq > row.changed_at())
    }
}

/// Who may become a member of one room, or asks to: invitations that were neither accepted nor ended, links, and requests.
/// Expired ones may be among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Invitations {
    changed: u64,
    of: BTreeMap<UserId, Invitation>,
    links: BTreeMap<u64, Link>,
    requests: BTreeMap<UserId, JoinRequest>,
}

/// A change of the invitations to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationsChange {
    /// All of them, after the change. They decide.
    pub all: Invitations,
    /// Whether those who are invited, or the links, have changed. They are stored apart from the requests: what strangers
    /// ask for makes no link dearer.
    pub issued: bool,
    /// Whether the requests to join have.
    pub requests: bool,
    /// Users in whose lists the room is set, or with `None` is no longer. Lists only say where to look: of several users
    /// who are added at once, which takes many items, the rooms stay.
    pub lists: Vec<(UserId, Option<Listed>)>,
}

impl InvitationsChange {
    pub(crate) fn between(
        before: &Invitations,
        all: &Invitations,
        lists: Vec<(UserId, Option<Listed>)>,
    ) -> Option<Self> {
        let (issued, requests) = (all.issues_other_than(before), all.is_asked_other_than(before));
        let changes = issued || requests || !lists.is_empty();
        changes.then(|| Self { all: all.clone(), issued, requests, lists })
    }
}

impl Invitations {
    /// The invitations as of the event at `changed`, which changed them last.
    pub fn new(changed: u64, of: BTreeMap<UserId, Invitation>) -> Self {
        Self { changed, of, ..Self::default() }
    }

    /// The same with these links.
    #[must_use]
    pub fn with_links(mut self, links: impl IntoIterator<Item = Link>) -> Self {
        self.links = links.into_iter().map(|link| (link.seq, link)).collect();
        self
    }

    /// The same with these requests to join, which the event at `changed` changed last.
    #[must_use]
    pub fn with_requests(mut self, changed: u64, requests: BTreeMap<UserId, JoinRequest>) -> Self {
        self.changed = self.changed.max(changed);
        self.requests = requests;
        self
    }

    /// Seq of the event that changed them last; 0 if none did.
    pub fn changed_at(&self) -> u64 {
        self.changed
    }

    /// The invitation of `user`, even if it has expired.
    pub fn get(&self, user: &UserId) -> Option<&Invitation> {
        self.of.get(user)
    }

    /// All of them, by ascending id of who is invited.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&UserId, &Invitation)> {
        self.of.iter()
    }

    /// Those that can be accepted at `at`, by ascending id of who is invited.
    pub fn open_at(&self, at: Timestamp) -> impl Iterator<Item = (&UserId, &Invitation)> {
        self.of.iter().filter(move |(_, invitation)| invitation.is_open_at(at))
    }

    /// All links, by the event that made them.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The link at `seq`, even if nobody can join by it.
    pub fn link(&self, seq: u64) -> Option<&Link> {
        self.links.get(&seq)
    }

    /// The link by whose secret somebody can join at `at`. Takes as long for any hash.
    pub fn link_of(&self, hash: &LinkHash, at: Timestamp) -> Option<&Link> {
        let of_hash =
            self.links.values().fold(None, |found, link| if link.has(hash) { Some(link) } else { found });
        of_hash.filter(|link| link.is_open_at(at))
    }

    /// All requests to join, by ascending id of who asks.
    pub fn requests(&self) -> impl Iterator<Item = (&UserId, &JoinRequest)> {
        self.requests.iter()
    }

    /// The request of `user`, even if it has ended or expired.
    pub fn request_of(&self, user: &UserId) -> Option<&JoinRequest> {
        self.requests.get(user)
    }

    /// Requests that wait for an answer at `at`, by ascending id of who asks.
    pub fn requests_at(&self, at: Timestamp) -> impl Iterator<Item = (&UserId, &JoinRequest)> {
        self.requests.iter().filter(move |(_, request)| request.is_open_at(at))
    }

    /// Whether others than in `before` are invited, or the links are others.
    pub(crate) fn issues_other_than(&self, before: &Self) -> bool {
        self.of != before.of || self.links != before.links
    }

    /// Whether the requests are others than in `before`.
    pub(crate) fn is_asked_other_than(&self, before: &Self) -> bool {
        self.requests != before.requests
    }

    /// The number of all of these, including expired ones.
    pub fn len(&self) -> usize {
        self.of.len() + self.links.len() + self.requests.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds or replaces an invitation, and drops those that had expired when it was made.
    pub(crate) fn invite(&mut self, user: UserId, invitation: Invitation) {
        self.changed = invitation.seq;
        self.of.retain(|_, other| other.is_open_at(invitation.at));
        self.of.insert(user, invitation);
    }

    /// Ends the invitation and the request of `user`, if there are any, by the event at `seq`.
    pub(crate) fn end(&mut self, user: &UserId, seq: u64) {
        let (invited, asked) = (self.of.remove(user), self.requests.remove(user));
        if invited.is_some() || asked.is_some() {
            self.changed = seq;
        }
    }

    /// Ends all of them by the event at `seq`.
    pub(crate) fn end_all(&mut self, seq: u64) {
        *self = Self { changed: seq, ..Self::default() };
    }

    /// Ends the invitation of `user`, if there is one, by the event at `seq`.
    pub(crate) fn uninvite(&mut self, user: &UserId, seq: u64) {
        if self.of.remove(user).is_some() {
            self.changed = seq;
        }
    }

    /// Adds a link, and drops those by which nobody could join when it was made.
    pub(crate) fn add_link(&mut self, link: Link) {
        self.changed = link.seq;
        self.links.retain(|_, other| other.is_open_at(link.at));
        self.links.insert(link.seq, link);
    }

    /// Removes a link, if there is one, by the event at `seq`.
    pub(crate) fn revoke_link(&mut self, link: u64, seq: u64) {
        if self.links.remove(&link).is_some() {
            self.changed = seq;
        }
    }

    /// Counts who joined by a link, by the event at `seq`.
    pub(crate) fn use_link(&mut self, link: u64, seq: u64) {
        if let Some(link) = self.links.get_mut(&link) {
            link.uses = link.uses.saturating_add(1);
            self.changed = seq;
        }
    }

    /// Adds a request of `user`, who has asked at `at`, and drops those that had expired then.
    pub(crate) fn ask(&mut self, user: UserId, at: Timestamp, until: Timestamp, seq: u64) {
        self.changed = seq;
        self.requests.retain(|_, other| at < other.until);
        let withdrawals = self.requests.get(&user).map_or(0, |before| before.withdrawals);
        self.requests.insert(user, JoinRequest { at, until, seq, ended: None, withdrawals });
    }

    /// Ends the request of `user` by the event at `seq`, which was added at `at`. As many that have ended are kept as there
    /// may be requests: beyond that the one whose user may ask first is forgotten.
    pub(crate) fn end_request(&mut self, user: &UserId, end: RequestEnd, at: Timestamp, seq: u64) {
        let Some(request) = self.requests.get_mut(user) else { return };
        request.withdrawals += u32::from(end == RequestEnd::Withdrawn);
        request.ended = Some(end);
        request.until = Timestamp(at.0.saturating_add(REJECTION_AGE.as_millis() as u64));
        self.changed = seq;
        let ended = self.requests.iter().filter(|(_, request)| request.ended.is_some());
        if ended.clone().count() > MAX_JOIN_REQUESTS
            && let Some((first, _)) = ended.min_by_key(|(_, request)| (request.until, request.seq))
        {
            let first = first.clone();
            self.requests.remove(&first);
        }
    }
}
