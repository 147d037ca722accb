//! Plans which part of a room's history a session delivers, and what it reports as gaps.
use std::collections::VecDeque;

use parlance_core::{Member, Visibility, visible_ranges};
use parlance_delivery::SharedFrame;
use parlance_hub::{Feed, RoomState};
use parlance_proto::v1;
use parlance_store::UserRoom;
use v1::server_frame::Frame;

use crate::cursor::Cursor;

/// A part of a room's history.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Deliver everything up to this seq.
    Through(u64),
    /// Report a gap.
    Gap(v1::Gap),
}

/// The parts of a room to deliver and to report as gaps, and the position to start from.
/// Together they are complete.
pub(crate) fn plan(
    feed: &Feed,
    user_room: &UserRoom,
    state: RoomState,
    cursor: Option<Cursor>,
    max_catch_up: u64,
) -> (u64, VecDeque<Step>) {
    use v1::GapReason::{AcknowledgedElsewhere, NotMember, Restored, Retention, TooLong};

    // The row may include a change whose chunk is about to be delivered.
    let head = state.head.max(user_room.member.changed_at());
    let ranges = visible_ranges(&user_room.member, state.visibility, head);
    let mut plan = VecDeque::new();
    // A former member must not learn how far the room has advanced since.
    let end = if user_room.member.is_active() { head } else { ranges.last().map_or(0, |last| last.to) };
    let mut at = match cursor {
        // The client's cursor belongs to another log, or to a trimmed part of this one.
        Some(cursor) if cursor.seq > end || (cursor.epoch != 0 && cursor.epoch != state.epoch) => {
            plan.push_back(Step::Gap(gap(feed, 1, end, Restored)));
            return (end, plan);
        }
        Some(cursor) => cursor.seq,
        None => 0,
    };
    let start = at;
    let name = |plan: &mut VecDeque<Step>, at: &mut u64, to: u64, reason| {
        if *at < to {
            plan.push_back(Step::Gap(gap(feed, *at + 1, to, reason)));
            *at = to;
        }
    };
    name(&mut plan, &mut at, state.floor.saturating_sub(1).min(end), Retention);
    if cursor.is_none() {
        let first = ranges.first().map_or(1, |range| range.from);
        let delivered = user_room.cursors.delivered.min(head);
        // Events before the user's membership are not new to page, unless the whole
        // history is visible.
        name(&mut plan, &mut at, first.saturating_sub(1).min(delivered), NotMember);
        name(&mut plan, &mut at, delivered, AcknowledgedElsewhere);
    }
    let mut pushed: u64 = ranges.iter().map(|range| range.to.saturating_sub(at.max(range.from - 1))).sum();
    for range in &ranges {
        if range.to <= at {
            continue;
        }
        name(&mut plan, &mut at, range.from - 1, NotMember);
        if pushed > max_catch_up {
            let skip = (pushed - max_catch_up).min(range.to - at);
            let to = at + skip;
            name(&mut plan, &mut at, to, TooLong);
            pushed -= skip;
        }
        if at < range.to {
            plan.push_back(Step::Through(range.to));
            at = range.to;
        }
    }
    // A member's last range continues live.
    if user_room.member.is_active()
        && let Some(Step::Through(_)) = plan.back()
    {
        plan.pop_back();
    }
    (start, plan)
}

/// The steps of a session at `at` for a room that its user joined, left or rejoined
/// meanwhile, before it continues with live events.
pub(crate) fn steps_after(feed: &Feed, member: &Member, visibility: Visibility, at: u64) -> VecDeque<Step> {
    let mut plan = VecDeque::new();
    let mut at = at;
    let changed = member.changed_at();
    if visibility == Visibility::All && member.is_active() {
        // All of it is visible, and can be paged.
        if at + 1 < changed {
            plan.push_back(Step::Gap(gap(feed, at + 1, changed - 1, v1::GapReason::TooLong)));
        }
        return plan;
    }
    for range in visible_ranges(member, visibility, changed) {
        if range.to <= at {
            continue;
        }
        if at + 1 < range.from {
            plan.push_back(Step::Gap(gap(feed, at + 1, range.from - 1, v1::GapReason::NotMember)));
        }
        plan.push_back(Step::Through(range.to));
        at = range.to;
    }
    // A member's last range continues live.
    if member.is_active() && matches!(plan.back(), Some(Step::Through(_))) {
        plan.pop_back();
    }
    plan
}

pub(crate) fn gap_frame(feed: &Feed, from: u64, to: u64, reason: v1::GapReason) -> SharedFrame {
    Frame::Gap(gap(feed, from, to, reason)).into()
}

pub(crate) fn gap(feed: &Feed, from: u64, to: u64, reason: v1::GapReason) -> v1::Gap {
    v1::Gap {
        room_id: feed.room().as_str().to_owned(),
        from_seq: from,
        to_seq: to,
        reason: reason.into(),
        epoch: feed.known().map_or(0, |room| room.epoch),
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::{Action, Authority, Command, RequestId};

    use super::*;
    use crate::testing::{TestNode, say, user};

    /// Whatever position the client names, no answer reveals how far the room has
    /// advanced.
    #[tokio::test]
    async fn plan_of_former_member_does_not_depend_on_the_head() {
        let (node, room) = TestNode::with_group().await;
        say(&node.rooms, &room, "before").await;
        let command = Command {
            actor: user("alice"),
            authority: Authority::Member,
            request: RequestId::parse("remove").unwrap(),
            after: None,
            action: Action::Remove { user: user("bob") },
        };
        let left = node.rooms.submit(&room, command).await.unwrap().last;
        for number in 0..4 {
            say(&node.rooms, &room, &format!("after {number}")).await;
        }
        let hub = &node.sessions.hub;
        let mailbox = hub.open(&user("bob"), None);
        let (listening, state) = hub.subscribe(&room, &mailbox).await.unwrap().unwrap();
        let row = hub.user_room(&user("bob"), &room).await.unwrap().unwrap();
        assert_eq!(state.head, left + 4);
        let plan_at = |seq, head, floor| {
            let state = RoomState { head, floor, ..state };
            plan(listening.feed(), &row, state, Some(Cursor { seq, epoch: state.epoch }), 100)
        };
        for seq in 0..=state.head + 2 {
            for later in left + 1..=state.head {
                assert_eq!(plan_at(seq, later, 1), plan_at(seq, left, 1), "cursor {seq}, head {later}");
                // Everything the user could see was trimmed, and part of the rest.
                let all_gone = plan_at(seq, state.head, left + 1);
                assert_eq!(plan_at(seq, state.head, later), all_gone, "cursor {seq}, floor {later}");
            }
        }
        // They have received everything they may see, and a cursor beyond that is not
        // from this log.
        assert_eq!(plan_at(left, state.head, 1), (left, VecDeque::new()));
        let restored = Step::Gap(gap(listening.feed(), 1, left, v1::GapReason::Restored));
        assert_eq!(plan_at(left + 1, state.head, 1), (left, VecDeque::from([restored])));
    }
}
