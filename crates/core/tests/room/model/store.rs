use std::collections::{BTreeMap, BTreeSet};

use parlance_core::{
    Append, Chunk, Creation, Cursors, Entry, Event, Invitations, Listed, Mark, Member, Overlay, Posted,
    RoomInfo, SeqRange, Timestamp, TitlePlace, Unread, UserId,
};

use super::Fault;

/// One room as stored: the log by first seq, and the data that an append writes in
/// the same transaction.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) info: RoomInfo,
    pub(crate) log: BTreeMap<u64, Chunk>,
    /// Chunks trimmed by retention, kept for the checks.
    pub(crate) retired: BTreeMap<u64, Chunk>,
    pub(crate) members: BTreeMap<UserId, Member>,
    pub(crate) overlays: BTreeMap<u64, Overlay>,
    pub(crate) cursors: BTreeMap<UserId, Cursors>,
    pub(crate) invitations: Invitations,
    /// Users in whose list the room is.
    pub(crate) invited: BTreeMap<UserId, Listed>,
    /// The room's rows in the directory, with the number of members.
    pub(crate) directory: BTreeMap<TitlePlace, u64>,
    /// Users, and whom they block.
    pub(crate) blocks: BTreeSet<(UserId, UserId)>,
    pub(crate) fault: Fault,
}

/// The key is taken.
#[derive(Debug)]
pub(crate) struct HeadMoved;

impl Store {
    pub(crate) fn create(creation: Creation) -> Self {
        let mut store = Self {
            info: creation.info,
            log: BTreeMap::new(),
            retired: BTreeMap::new(),
            members: BTreeMap::new(),
            overlays: BTreeMap::new(),
            cursors: BTreeMap::new(),
            invitations: Invitations::default(),
            invited: BTreeMap::new(),
            directory: BTreeMap::new(),
            blocks: BTreeSet::new(),
            fault: Fault::None,
        };
        store.write(&creation.append);
        store
    }

    /// One conditional put: no item at this key. Whether the key directly follows
    /// the head is up to the core, and verified by the checks.
    pub(crate) fn append(&mut self, append: &Append) -> Result<(), HeadMoved> {
        if self.log.contains_key(&append.chunk.first_seq()) && self.fault != Fault::NoFence {
            return Err(HeadMoved);
        }
        self.write(append);
        Ok(())
    }

    /// An append whose answer is lost.
    pub(crate) fn append_unheard(&mut self, append: &Append) -> Result<(), HeadMoved> {
        let mut append = append.clone();
        match self.fault {
            Fault::OverlaysApart => append.overlays.clear(),
            Fault::MembersApart => append.members.clear(),
            Fault::InvitationsApart => append.invitations = None,
            Fault::ListingApart => append.listing = None,
            _ => {}
        }
        self.append(&append)
    }

    fn write(&mut self, append: &Append) {
        self.log.insert(append.chunk.first_seq(), append.chunk.clone());
        self.members.extend(append.members.iter().map(|row| (row.user.clone(), row.clone())));
        self.overlays.extend(append.overlays.iter().cloned());
        for (user, mark) in append.joins.iter().chain(&append.sent) {
            self.read(user, *mark);
        }
        if let Some(change) = &append.invitations {
            // Each of the two is a row of its own, written only if it has changed.
            let all =
                |from: &Invitations| from.requests().map(|(user, it)| (user.clone(), it.clone())).collect();
            let issued = if change.issued { &change.all } else { &self.invitations };
            let requests = if change.requests { &change.all } else { &self.invitations };
            self.invitations = issued.clone().with_requests(requests.changed_at(), all(requests));
            for (user, listed) in &change.lists {
                match listed {
                    Some(listed) => drop(self.invited.insert(user.clone(), listed.clone())),
                    None => drop(self.invited.remove(user)),
                }
            }
        }
        if let Some(change) = &append.listing {
            if let Some(place) = &change.removed {
                self.directory.remove(place);
            }
            let put = change.put.iter().map(|listing| (listing.place.clone(), listing.members));
            self.directory.extend(put);
        }
        if let Some(info) = &append.info {
            self.info.update(info);
            if self.fault == Fault::FloorFromWriter {
                self.info.floor = info.floor;
            }
        }
    }

    /// `user` has read up to `mark`.
    pub(crate) fn read(&mut self, user: &UserId, mark: Mark) {
        let reached = Cursors { delivered: 0, read: mark };
        let cursors = self.cursors.entry(user.clone()).or_default();
        if self.fault == Fault::MarksMoveBack {
            *cursors = reached;
        } else {
            cursors.advance(reached);
        }
    }

    /// Messages of `range` that an event of `range` deleted.
    pub(crate) fn count_deleted(&self, range: SeqRange) -> u64 {
        let deleted = self.overlays.iter().filter(|(seq, overlay)| overlay.deleted_in(range, **seq));
        deleted.count() as u64
    }

    /// Unread messages after `read`.
    pub(crate) fn unread(&self, read: Mark) -> u64 {
        let unread = Unread::new(self.tail().head(), read);
        unread.less_deleted(unread.deleted_in().map_or(0, |range| self.count_deleted(range)))
    }

    pub(crate) fn tail(&self) -> &Chunk {
        self.log.last_key_value().unwrap().1
    }

    pub(crate) fn head(&self) -> u64 {
        self.tail().head().seq()
    }

    /// Up to `chunks` whole chunks that end right before `seq`, as one run of
    /// events. Empty if none is kept.
    pub(crate) fn page_before(&self, seq: u64, chunks: usize) -> Vec<Event> {
        let page: Vec<&Chunk> = self.log.range(..seq).rev().take(chunks).map(|(_, chunk)| chunk).collect();
        page.into_iter().rev().flat_map(Chunk::events).cloned().collect()
    }

    pub(crate) fn event(&self, seq: u64) -> Option<&Event> {
        let (_, chunk) = self.log.range(..=seq).next_back()?;
        chunk.events().iter().find(|event| event.seq == seq)
    }

    /// The event at `seq`, also if it was trimmed.
    pub(crate) fn decided(&self, seq: u64) -> Option<&Event> {
        let chunks = self.retired.values().chain(self.log.values());
        chunks.flat_map(Chunk::events).find(|event| event.seq == seq)
    }

    /// The message at `seq` in its present form.
    pub(crate) fn message(&self, seq: u64) -> Option<Posted> {
        let event = self.event(seq)?;
        Posted::of(Entry::merge(event.clone(), self.overlays.get(&seq).cloned()))
    }

    /// Retention: trims chunks that ended before `until`, but never the tail.
    pub(crate) fn retire(&mut self, until: Timestamp) {
        while self.log.len() > 1 {
            let oldest = self.log.first_entry().unwrap();
            if oldest.get().events().iter().any(|event| event.at >= until) {
                break;
            }
            self.info.floor = oldest.get().head().seq() + 1;
            let (key, chunk) = oldest.remove_entry();
            self.retired.insert(key, chunk);
        }
    }
}
