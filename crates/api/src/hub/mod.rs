//! From what happens in rooms to the sessions of this node.
//!
//! A session is not sent anything: it is told that a room has gone on, and takes from
//! the room's [`Feed`] what follows its own position, from the ring of recent frames
//! or from the store. That one way serves catching up, live delivery and slow readers
//! alike, so that there is no seam between them.

mod feed;
mod mailbox;

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parlance_core::{Body, Chunk, RoomId, RoomInfo, UserId};
use parlance_proto::SharedFrame;
use parlance_store::Store;

pub(crate) use self::feed::{Feed, Fetched, RoomState};
pub(crate) use self::mailbox::{Attach, Mailbox, Subscription, Waken};
use crate::Error;

/// Rooms with sessions on this node, and the sessions of each user.
pub(crate) struct Hub {
    store: Arc<dyn Store>,
    feeds: DashMap<RoomId, Arc<Feed>>,
    users: DashMap<UserId, Vec<Arc<Mailbox>>>,
    next_session: AtomicU64,
}

impl Hub {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, feeds: DashMap::new(), users: DashMap::new(), next_session: AtomicU64::new(1) }
    }

    /// A mailbox for a new session of `user`. From now on the session hears of rooms
    /// that its user is added to.
    pub(crate) fn open(&self, user: &UserId) -> Arc<Mailbox> {
        let session = self.next_session.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::new(session, user.clone()));
        self.users.entry(user.clone()).or_default().push(mailbox.clone());
        mailbox
    }

    pub(crate) fn close(&self, mailbox: &Mailbox) {
        if let Entry::Occupied(mut mailboxes) = self.users.entry(mailbox.user().clone()) {
            mailboxes.get_mut().retain(|other| other.session() != mailbox.session());
            if mailboxes.get().is_empty() {
                mailboxes.remove();
            }
        }
    }

    /// Subscribes a session to a room, and then learns where the room is: whatever is
    /// committed after that wakes the session, whatever came before is read.
    ///
    /// `None` where there is no such room.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        room: &RoomId,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Option<(Listening, RoomState)>, Error> {
        // Under the map's lock, or the feed could be dropped as idle in between.
        let subscription = {
            let feed = self.feeds.entry(room.clone()).or_insert_with(|| Arc::new(Feed::new(room.clone())));
            feed.subscribe(mailbox)
        };
        let listening = Listening { hub: self.clone(), subscription };
        let state = listening.feed().load(self.store.as_ref()).await?;
        Ok(state.map(|state| (listening, state)))
    }

    fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        let feed = subscription.feed();
        feed.unsubscribe(subscription);
        self.feeds.remove_if(feed.room(), |_, other| other.is_idle());
    }

    /// What follows on `cursor`, up to `to`.
    pub(crate) async fn fetch(&self, feed: &Arc<Feed>, cursor: u64, to: u64) -> Result<Fetched, Error> {
        feed.fetch(&self.store, cursor, to).await
    }

    /// A chunk of `info`'s room is committed.
    pub(crate) fn deliver(&self, info: &RoomInfo, chunk: &Chunk) {
        for event in chunk.events() {
            if let Body::MemberAdded { user, .. } = &event.body
                && let Some(mailboxes) = self.users.get(user)
            {
                // Who is there when the room begins sees it from its first event on.
                let joined = if chunk.first_seq() == 1 { 1 } else { event.seq };
                for mailbox in mailboxes.iter() {
                    mailbox.attach(Attach { room: info.id.clone(), joined });
                }
            }
        }
        let feed = self.feeds.get(&info.id).map(|feed| feed.clone());
        if let Some(feed) = feed {
            feed.deliver(info, chunk);
        }
    }

    /// Tells the sessions in a room something of the moment, but not those of `except`.
    pub(crate) fn signal(&self, room: &RoomId, frame: &SharedFrame, except: &UserId) {
        self.signal_rooms(std::iter::once(room), frame, except);
    }

    /// The same for several rooms, each session once.
    pub(crate) fn signal_rooms<'a>(
        &self,
        rooms: impl Iterator<Item = &'a RoomId>,
        frame: &SharedFrame,
        except: &UserId,
    ) {
        let mut told = HashSet::new();
        for room in rooms {
            let feed = self.feeds.get(room).map(|feed| feed.clone());
            let Some(feed) = feed else { continue };
            for mailbox in feed.listeners() {
                if mailbox.user() != except && told.insert(mailbox.session()) {
                    mailbox.signal(frame.clone());
                }
            }
        }
    }

    /// Drops the rings of rooms in which nothing has happened for a while.
    pub(crate) fn trim(&self) {
        for feed in &self.feeds {
            feed.trim();
        }
    }
}

/// A session's subscription to a room, which ends when this is dropped.
pub(crate) struct Listening {
    hub: Arc<Hub>,
    subscription: Arc<Subscription>,
}

impl Deref for Listening {
    type Target = Arc<Subscription>;

    fn deref(&self) -> &Arc<Subscription> {
        &self.subscription
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.unsubscribe(&self.subscription);
    }
}
