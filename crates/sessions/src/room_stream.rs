use std::collections::VecDeque;
use std::sync::Arc;

use parlance_cluster::SignalRoom;
use parlance_core::{Interval, Member, Role, UserId, Visibility, visible_ranges};
use parlance_delivery::{Delivery, SharedFrame};
use parlance_hub::{Fetched, Listening, Subscription};
use parlance_proto::v1;
use v1::server_frame::Frame;

use crate::cursor::Cursor;
use crate::needs::{Found, Needs};
use crate::plan::{Step, gap_frame, steps_after};

/// A session's position in one room, and what follows.
pub(crate) struct RoomStream {
    pub(crate) source: Source,
    /// To be processed before live events.
    pub(crate) plan: VecDeque<Step>,
    /// The event that made the user a member, the last time as far as known. An earlier removal does not end the
    /// stream.
    pub(crate) since: u64,
    /// The room's head when this stream began. Earlier messages are delivered in their form at that time.
    began_at: u64,
    /// Memberships before the last one; mostly none.
    earlier: Box<[Interval]>,
    /// For a former member, how much of the history was visible when they left.
    left_open: Option<Visibility>,
    waits: Waits,
}

/// Whether data for the stream is being read or queued for it.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Waits {
    #[default]
    No,
    Yes,
    /// Also, the room has new events meanwhile.
    Woken,
}

pub(crate) enum Source {
    /// A member: continues with live events.
    Live(Listening),
    /// A former member: ends with the plan.
    Past(Listening),
}

impl Source {
    /// The stream of a member with this row, read when the room's head was at least `head`.
    pub(crate) fn live(listening: Listening, head: u64) -> Self {
        listening.now_live(head);
        Self::Live(listening)
    }
}

/// The state of a room after one batch.
pub(crate) enum Progress {
    /// More may be available at once.
    More,
    /// Nothing until it is woken again.
    UpToDate,
    /// The user is no longer a member.
    Over,
    /// Nothing until this is read.
    Needs(Needs),
    /// Nothing until the requested data is read.
    Waits,
}

impl RoomStream {
    pub(crate) fn new(source: Source, plan: VecDeque<Step>, member: &Member, began_at: u64) -> Self {
        let (last, earlier) = match member.intervals.split_last() {
            Some((last, earlier)) => (*last, earlier),
            None => (Interval::starting_at(0), &[][..]),
        };
        let since = member.changed_at();
        let (earlier, left_open) = (earlier.into(), last.visibility);
        let stream = Self { source, plan, since, began_at, earlier, left_open, waits: Waits::No };
        stream.subscription().set_joined(last.joined);
        stream
    }

    /// Whether the message at `seq` is hidden from the user.
    fn hides(&self, seq: u64, user: &UserId) -> bool {
        let subscription = self.subscription();
        let joined = subscription.joined();
        if seq >= joined {
            return false;
        }
        let visibility = subscription.known().map_or(Visibility::SinceJoined, |room| room.visibility);
        let last = match &self.source {
            Source::Live(_) => Interval::starting_at(joined),
            // Even if the room is opened later, its history stays closed to them.
            Source::Past(_) => Interval {
                visibility: self.left_open,
                left: Some(self.since),
                ..Interval::starting_at(joined)
            },
        };
        let intervals = self.earlier.iter().copied().chain([last]).collect();
        let member = Member { intervals, ..Member::joined(user.clone(), Role::Member, joined) };
        !visible_ranges(&member, visibility, u64::MAX).iter().any(|range| range.contains(seq))
    }

    /// The last seq that the user may see, if it is known to be in the past.
    fn until(&self) -> Option<u64> {
        match &self.source {
            Source::Past(_) => Some(self.since),
            Source::Live(listening) => {
                Some(listening.removed_at()).filter(|at| *at > self.since && *at > self.cursor())
            }
        }
    }

    pub(crate) fn listening(&self) -> &Listening {
        match &self.source {
            Source::Live(listening) | Source::Past(listening) => listening,
        }
    }

    pub(crate) fn subscription(&self) -> &Arc<Subscription> {
        self.listening()
    }

    /// Whether this is the stream of `subscription`, not one that has replaced it.
    pub(crate) fn is_of(&self, subscription: &Arc<Subscription>) -> bool {
        Arc::ptr_eq(self.subscription(), subscription)
    }

    /// Everything up to here was delivered or reported as a gap.
    pub(crate) fn cursor(&self) -> u64 {
        self.subscription().cursor()
    }

    /// The cursor from which the client would resume.
    pub(crate) fn position(&self) -> Cursor {
        let epoch = self.subscription().known().map_or(0, |room| room.epoch);
        Cursor { seq: self.cursor(), epoch }
    }

    fn move_to(&self, seq: u64) {
        self.subscription().move_to(seq);
    }

    /// The room, for sending signals to its members. `None` for one that was left or deleted.
    pub(crate) fn signal_room(&self) -> Option<SignalRoom> {
        let Source::Live(listening) = &self.source else { return None };
        let feed = listening.feed();
        let known = feed.known().filter(|room| !room.deleted)?;
        Some(SignalRoom { room: feed.room().clone(), head: known.end })
    }

    /// Whether only live events remain.
    pub(crate) fn follows(&self) -> bool {
        self.plan.is_empty() && matches!(self.source, Source::Live(_))
    }

    /// Moves to the next step. A finished plan releases its memory.
    fn step_done(&mut self) {
        self.plan.pop_front();
        if self.plan.is_empty() {
            self.plan.shrink_to_fit();
        }
    }

    /// Delivers at most one batch from memory. Never waits: data that has to be read is [taken](Self::take) later.
    pub(crate) fn advance(&mut self, user: &UserId, out: &mut VecDeque<Delivery>) -> Progress {
        if self.waits != Waits::No {
            self.waits = Waits::Woken;
            return Progress::Waits;
        }
        // Until it is known to be at the head again.
        self.subscription().set_at_head(false);
        let to = match self.plan.front() {
            Some(Step::Gap(gap)) => {
                self.move_to(self.cursor().max(gap.to_seq));
                out.push_back(SharedFrame::from(Frame::Gap(gap.clone())).into());
                self.step_done();
                return Progress::More;
            }
            Some(Step::Through(to)) if *to <= self.cursor() => {
                self.step_done();
                return Progress::More;
            }
            Some(Step::Through(to)) => *to,
            None if matches!(self.source, Source::Past(_)) => return Progress::Over,
            None => u64::MAX,
        };
        let (until, catches_up) = (self.until(), self.cursor() < self.began_at);
        match self.listening().recent(to, catches_up) {
            Some(fetched) => self.hand_out(fetched, to, user, out),
            None => self.needs(Needs::Log { to, until }),
        }
    }

    fn needs(&mut self, needs: Needs) -> Progress {
        self.waits = Waits::Yes;
        Progress::Needs(needs)
    }

    /// Ends the wait for data that was read or cannot be. Returns whether the room has new events meanwhile.
    pub(crate) fn end_wait(&mut self) -> bool {
        std::mem::take(&mut self.waits) == Waits::Woken
    }

    /// Continues with data that was read.
    pub(crate) fn take(&mut self, found: Found, user: &UserId, out: &mut VecDeque<Delivery>) -> Progress {
        match found {
            // Removed meanwhile: the data may include forms from after that.
            Found::Log { until, .. } if self.until() != until => Progress::More,
            Found::Log { fetched: None, .. } => Progress::More,
            Found::Log { fetched: Some(fetched), to, .. } => self.hand_out(fetched, to, user, out),
            Found::Membership(member) => {
                self.rejoin(&member);
                Progress::More
            }
        }
    }

    /// Continues after a membership that has ended, according to the user's row.
    fn rejoin(&mut self, member: &Member) {
        let feed = self.listening().feed();
        let mut plan = steps_after(feed, member, Visibility::SinceJoined, self.cursor());
        // The last membership continues live, to its end if there is one.
        if matches!(plan.back(), Some(Step::Through(_))) {
            plan.pop_back();
        }
        self.plan = plan;
        if let Some((last, earlier)) = member.intervals.split_last() {
            // They may have been added once more since the row was read.
            self.since = self.since.max(last.joined);
            self.earlier = earlier.into();
            self.subscription().set_joined(last.joined);
        }
    }

    fn hand_out(
        &mut self,
        fetched: Fetched,
        to: u64,
        user: &UserId,
        out: &mut VecDeque<Delivery>,
    ) -> Progress {
        let feed = self.listening().feed().clone();
        if fetched.pieces.is_empty() {
            if self.plan.is_empty() || feed.known().is_none_or(|room| room.floor <= to) {
                return Progress::UpToDate;
            }
            // The whole step was trimmed from the log.
            let reason = v1::GapReason::Retention;
            out.push_back(gap_frame(&feed, self.cursor() + 1, to, reason).into());
            self.move_to(to);
            return Progress::More;
        }
        for piece in fetched.pieces {
            if piece.first > self.cursor() + 1 {
                // Older events were trimmed from the log.
                let reason = v1::GapReason::Retention;
                out.push_back(gap_frame(&feed, self.cursor() + 1, piece.first - 1, reason).into());
            }
            self.move_to(piece.last);
            out.push_back(match piece.blank {
                Some(blank) if self.hides(blank.target, user) => blank.frame.into(),
                _ => piece.delivery,
            });
            // A removal within the plan belongs to an earlier membership.
            if piece.removes.as_ref() == Some(user) && self.plan.is_empty() {
                if self.cursor() > self.since {
                    return Progress::Over;
                }
                // A membership that has ended and is followed by another.
                let joined = self.subscription().joined();
                if joined < self.cursor() {
                    let ended = Interval { left: Some(self.cursor()), ..Interval::starting_at(joined) };
                    self.earlier = self.earlier.iter().copied().chain([ended]).collect();
                    self.subscription().set_joined(self.since);
                }
                let hidden = feed.known().is_some_and(|room| room.visibility == Visibility::SinceJoined);
                if hidden && self.cursor() + 1 < self.since {
                    // They may have joined and left more than once.
                    return self.needs(Needs::Membership);
                }
            }
        }
        if fetched.more || !self.plan.is_empty() { Progress::More } else { Progress::UpToDate }
    }
}

#[cfg(test)]
mod tests {
    use parlance_store::LogStore;
    use std::sync::atomic::Ordering;

    use parlance_hub::Terms;

    use super::*;
    use crate::testing::{TestNode, say, user};

    /// Events are trimmed before a session reads them: it reports a gap and continues.
    #[tokio::test]
    async fn step_below_a_moved_floor_is_a_gap() {
        let (node, room) = TestNode::with_group().await;
        let mut head = 0;
        for number in 0..9 {
            head = say(&node.rooms, &room, &format!("heard {number}")).await;
        }
        let hub = &node.sessions.hub;
        let mailbox = hub.open(&user("bob"), None);
        let (listening, _) = hub.subscribe(&room, &mailbox).await.unwrap().unwrap();
        let member = hub.member(&room, &user("bob")).await.unwrap().unwrap();
        let plan = VecDeque::from([Step::Through(4)]);
        let mut stream = RoomStream::new(Source::live(listening, head), plan, &member, head);

        // The floor moves up to 7, which the node learns from the next chunk.
        let other = node.other();
        say(&other.rooms, &room, "unheard").await;
        let stored = node.store.room(&room).await.unwrap().unwrap();
        node.store.trimmed.store(6, Ordering::SeqCst);
        let terms = Terms { floor: 7, ..Terms::from(&stored.info) };
        hub.deliver(&room, terms, &stored.tail);
        let (mut out, mut frames) = (VecDeque::new(), Vec::new());
        for _ in 0..20 {
            let progress = match stream.advance(&user("bob"), &mut out) {
                Progress::Needs(Needs::Log { to, until }) => {
                    let fetched = stream.listening().read(to, until).await.unwrap();
                    stream.end_wait();
                    stream.take(Found::Log { to, until, fetched }, &user("bob"), &mut out)
                }
                progress => progress,
            };
            frames.extend(out.drain(..).flat_map(|delivery| delivery.frames().to_vec()));
            if matches!(progress, Progress::UpToDate) {
                break;
            }
        }
        let mut next = 1;
        for frame in frames {
            match frame.decode_frame().unwrap().frame.unwrap() {
                Frame::Gap(gap) => {
                    assert_eq!((gap.from_seq, gap.reason()), (next, v1::GapReason::Retention));
                    next = gap.to_seq + 1;
                }
                Frame::Event(event) => {
                    assert!(event.seq == next && event.seq >= 7, "{}", event.seq);
                    next += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((next, stream.cursor()), (stored.tail.head().seq() + 1, stored.tail.head().seq()));
        assert!(stream.follows());
    }
}
