//! Applies news to a room.

use parlance_proto::v1;
use parlance_proto::v1::event::Body;

use super::marks::{Head, ReadMark};
use super::message::Message;
use super::news::{News, Parts};
use super::people::Members;
use super::room::{Hidden, Info, Membership, Room, Settings};
use super::versioned::{Counter, Version};
use super::window::Window;

/// The room of a piece of news.
pub(super) fn room_of<'a>(news: &News<'a>) -> Option<&'a str> {
    Some(match news {
        News::Event(event) => &event.room_id,
        News::Gap(gap) => &gap.room_id,
        News::Inbox { entry, .. } => &entry.room.as_ref()?.room_id,
        News::Room { room, .. } => &room.room_id,
        News::Unlisted { room_id, .. }
        | News::Read { room_id, .. }
        | News::Receipt { room_id, .. }
        | News::Hidden { room_id, .. }
        | News::Members { room_id, .. }
        | News::Page { room_id, .. }
        | News::Open { room_id, .. }
        | News::Typing { room_id, .. } => room_id,
        News::Welcome(_) | News::Presence { .. } | News::Time(_) => return None,
    })
}

impl Room {
    /// Applies news of this room. `user` is the client's user, `window` the number of messages that
    /// an open room keeps.
    pub(super) fn apply(&mut self, news: &News<'_>, user: &str, window: usize) {
        if self.info.is_deleted && !self.outlives_deletion(news) {
            return;
        }
        match news {
            News::Event(event) if self.enter(self.info.stream_epoch) => self.event(event, user),
            News::Gap(gap) => self.gap(gap),
            News::Inbox { entry, order } => self.entry(entry, *order),
            News::Room { room, role } => {
                self.snapshot(room, Membership { is_member: true, role: *role });
            }
            News::Unlisted { head_seq, .. } => self.unlisted(*head_seq),
            News::Read { mark, epoch, .. } if self.enter_answered(*epoch) => {
                self.info.marks.advance(*mark, self.info.head);
            }
            News::Receipt { user_id, receipt, epoch, .. }
                if *user_id != user && self.enter_answered(*epoch) =>
            {
                self.receipts.advance(user_id, *receipt);
            }
            News::Hidden { is_hidden, order, .. } => {
                self.hide(*is_hidden, self.info.head.message_count, *order)
            }
            News::Members { members, seq, epoch, .. } if self.enter_answered(*epoch) => {
                self.members.list(members, *seq);
            }
            News::Page { events, covers, as_of, epoch, .. } if self.enter_answered(*epoch) => {
                if let Some(window) = &mut self.window {
                    window.page(events, covers.clone(), *as_of);
                }
                for message in events.iter().filter_map(Message::of) {
                    self.info.last.read(message, *as_of);
                }
            }
            News::Open { is_open, .. } => {
                self.window = is_open.then(|| self.window.take().unwrap_or_else(|| Window::new(window)));
            }
            News::Typing { user_id, until, .. } if *user_id != user => {
                self.typing.insert((*user_id).to_owned(), *until);
            }
            _ => {}
        }
    }

    /// Whether news apply to a deleted room: only those of a later epoch, so that answers to earlier
    /// requests do not bring it back.
    fn outlives_deletion(&self, news: &News<'_>) -> bool {
        let epoch = match news {
            News::Open { .. } => return true,
            News::Event(_) => self.info.stream_epoch,
            News::Gap(gap) if gap.reason() == v1::GapReason::Restored => {
                return gap.epoch > self.info.epoch;
            }
            News::Gap(gap) => gap.epoch,
            News::Inbox { entry, .. } => entry.room.as_ref().map_or(0, |room| room.epoch),
            News::Room { room, .. } => room.epoch,
            News::Read { epoch, .. }
            | News::Receipt { epoch, .. }
            | News::Members { epoch, .. }
            | News::Page { epoch, .. } => *epoch,
            _ => return false,
        };
        self.info.epoch != 0 && epoch > self.info.epoch
    }

    /// A new connection: transient signals do not survive the old one.
    pub(super) fn reconnected(&mut self, stream_epoch: u64) {
        if stream_epoch != 0 {
            self.info.stream_epoch = stream_epoch;
        }
        self.typing.clear();
    }

    pub(super) fn differs_from(&self, before: &Self) -> Parts {
        let is_same_window = match (&self.window, &before.window) {
            (Some(window), Some(before)) => window.is_same(before),
            (None, None) => true,
            _ => false,
        };
        Parts {
            info: self.info != before.info,
            messages: !is_same_window,
            members: !self.members.is_same(&before.members),
            receipts: !self.receipts.is_same(&before.receipts),
            typing: self.typing != before.typing,
        }
    }

    /// Whether an epoch has been superseded.
    fn is_over(&self, epoch: u64) -> bool {
        epoch != 0 && self.info.epoch != 0 && epoch < self.info.epoch
    }

    /// Enters the epoch of an answer. If the request named none, it is that of the stream.
    fn enter_answered(&mut self, epoch: u64) -> bool {
        self.enter(if epoch == 0 { self.info.stream_epoch } else { epoch })
    }

    /// Enters an epoch; 0 for the current one. Seqs of another epoch refer to other events, so
    /// state with seqs is dropped, except for what is shown until it is known again. Returns false
    /// for a superseded epoch.
    fn enter(&mut self, epoch: u64) -> bool {
        if self.is_over(epoch) {
            return false;
        }
        if epoch != 0 && epoch != self.info.epoch {
            if self.info.epoch != 0 {
                self.restored();
            }
            self.info.epoch = epoch;
        }
        true
    }

    fn restored(&mut self) {
        let before = std::mem::take(&mut self.info);
        self.info = Info {
            epoch: before.epoch,
            stream_epoch: before.stream_epoch,
            kind: before.kind,
            peer_id: before.peer_id,
            settings: before.settings,
            membership: before.membership,
            member_count: Counter::assumed(before.member_count.count()),
            hidden: Hidden { message_count: 0, ..before.hidden },
            ..Info::default()
        };
        self.info.settings.version = Version::at(0);
        self.info.membership.version = self.info.membership.version.min(Version::at(0));
        self.receipts = super::people::Receipts::default();
        self.members = Members::default();
        if let Some(window) = &mut self.window {
            window.clear();
        }
    }

    /// Applies the event of its deletion, which is the last of its epoch: nothing is left to read.
    fn deleted(&mut self, mark: ReadMark) {
        let before = std::mem::take(&mut self.info);
        self.info = Info {
            epoch: before.epoch,
            stream_epoch: before.stream_epoch,
            received_seq: before.received_seq,
            head: before.head,
            kind: before.kind,
            peer_id: before.peer_id,
            settings: before.settings,
            membership: before.membership,
            is_deleted: true,
            ..Info::default()
        };
        self.leave(Version::at(mark.seq));
        self.info.marks.event(mark, None);
        self.info.marks.advance(mark, self.info.head);
        self.receipts = super::people::Receipts::default();
        self.members = Members::default();
        self.typing.clear();
        if let Some(window) = &mut self.window {
            window.clear();
        }
    }

    fn event(&mut self, event: &v1::Event, user: &str) {
        let v1::Event { seq, message_count, deleted_count, .. } = *event;
        let version = Version::at(seq);
        let info = &mut self.info;
        info.head.advance(Head { seq, message_count });
        // Events before a first event were not received.
        if info.marks.covered_to.checked_add(1) != Some(seq) {
            info.member_count.hole(seq.saturating_sub(1));
        }
        let mark = ReadMark { seq, message_count: Some(message_count), deleted_count: Some(deleted_count) };
        let deletes = match &event.body {
            Some(Body::MessageDeleted(deleted)) => Some(deleted.target_seq),
            _ => None,
        };
        info.marks.event(mark, deletes);
        info.received_seq = info.received_seq.max(seq);
        info.last.event(event);
        // Events are pushed to members.
        if info.membership.version == Version::UNKNOWN {
            info.membership.value.is_member = true;
            info.membership.version = Version::at(0);
        }
        self.members.event(event);
        if let Some(window) = &mut self.window {
            window.event(event);
        }
        let held = info.membership.value;
        match &event.body {
            Some(Body::Message(message)) => {
                // Sending marks the room as read, importing does not.
                if event.actor_id == user && message.sent_at.is_none() {
                    info.marks.advance(mark, info.head);
                }
                self.typing.remove(&event.actor_id);
            }
            Some(Body::RoomCreated(created)) => {
                info.kind = created.kind();
                info.settings.event(settings_of(created.settings.as_ref()), version);
                info.member_count.snapshot(0, seq);
            }
            Some(Body::RoomDeleted(_)) => self.deleted(mark),
            Some(Body::RoomChanged(changed)) => {
                info.settings.event(settings_of(changed.settings.as_ref()), version);
            }
            Some(Body::MemberAdded(added)) => {
                info.member_count.step(seq, 1);
                if added.user_id == user {
                    info.membership.event(Membership { is_member: true, role: added.role() }, version);
                } else if info.kind == v1::RoomKind::Direct {
                    info.peer_id.clone_from(&added.user_id);
                }
            }
            Some(Body::MemberRemoved(removed)) => {
                info.member_count.step(seq, -1);
                if removed.user_id == user {
                    info.membership.event(Membership { is_member: false, ..held }, version);
                }
            }
            Some(Body::RoleChanged(changed)) if changed.user_id == user => {
                info.membership.event(Membership { role: changed.role(), ..held }, version);
            }
            _ => {}
        }
    }

    fn gap(&mut self, gap: &v1::Gap) {
        if self.is_over(gap.epoch) {
            return;
        }
        let is_restored = gap.reason() == v1::GapReason::Restored;
        // The inbox may have announced the new epoch before.
        let is_known = gap.epoch != 0 && gap.epoch == self.info.epoch;
        if is_restored && !is_known {
            self.restored();
            self.info.epoch = gap.epoch;
        }
        self.enter(gap.epoch);
        self.info.stream_epoch = self.info.stream_epoch.max(gap.epoch);
        let to = gap.to_seq;
        if to == 0 {
            // Open-ended: not a member, or temporarily unreadable, which changes nothing.
            if gap.reason() == v1::GapReason::NotMember {
                self.leave(Version::after(gap.from_seq.saturating_sub(1)));
            }
            return;
        }
        if is_restored {
            self.info.head.advance(Head { seq: to, message_count: 0 });
        }
        self.info.marks.hole(to);
        self.info.member_count.hole(to);
        self.members.hole(to);
        let is_gone = matches!(gap.reason(), v1::GapReason::NotMember | v1::GapReason::Retention);
        if let Some(window) = self.window.as_mut().filter(|_| is_gone) {
            window.skip(gap.from_seq.max(1)..=to);
        }
    }

    fn entry(&mut self, entry: &v1::InboxEntry, order: u64) {
        let Some(listed) = &entry.room else { return };
        let membership = entry.membership.as_ref();
        let is_member = membership.is_none_or(|membership| membership.active);
        let role = membership.map_or(self.info.membership.value.role, v1::Member::role);
        if !self.snapshot(listed, Membership { is_member, role }) {
            return;
        }
        let head = Head { seq: listed.head_seq, message_count: listed.message_count };
        let read = entry.read.as_ref();
        let mark = ReadMark {
            seq: read.map_or(0, |read| read.seq),
            message_count: Some(read.map_or(0, |read| read.message_count)),
            deleted_count: None,
        };
        let info = &mut self.info;
        if !entry.peer_id.is_empty() {
            info.peer_id.clone_from(&entry.peer_id);
        }
        info.marks.snapshot(head, mark, entry.unread_count);
        if let Some(message) = entry.last_message.as_ref().and_then(Message::of) {
            info.last.read(message, head.seq);
        }
        info.listed_at = info.listed_at.max(Some(head.seq));
        self.hide(entry.hidden, head.message_count, order);
    }

    /// Applies a room as of the head in it. Returns false if that belongs to a superseded epoch.
    fn snapshot(&mut self, listed: &v1::Room, own: Membership) -> bool {
        if !self.enter(listed.epoch) {
            return false;
        }
        let info = &mut self.info;
        let version = Version::at(listed.head_seq);
        info.head.advance(Head { seq: listed.head_seq, message_count: listed.message_count });
        info.kind = listed.kind();
        info.settings.snapshot(settings_of(listed.settings.as_ref()), version);
        info.membership.snapshot(own, version);
        info.member_count.snapshot(listed.member_count, listed.head_seq);
        true
    }

    fn unlisted(&mut self, head_seq: u64) {
        let is_later =
            self.info.head.seq > head_seq || self.info.membership.version > Version::after(head_seq);
        if !is_later && self.is_member() {
            self.leave(Version::after(head_seq));
        }
    }

    fn leave(&mut self, version: Version) {
        let held = self.info.membership.value;
        self.info.membership.event(Membership { is_member: false, ..held }, version);
    }

    fn hide(&mut self, is_hidden: bool, message_count: u64, order: u64) {
        if order >= self.info.hidden.order {
            self.info.hidden = Hidden { is_hidden, message_count, order };
        }
    }
}

fn settings_of(settings: Option<&v1::RoomSettings>) -> Settings {
    settings.map_or_else(Settings::default, |settings| Settings {
        title: settings.title.clone(),
        topic: settings.topic.clone(),
        image_url: settings.image_url.clone(),
        data: settings.data.clone(),
    })
}
