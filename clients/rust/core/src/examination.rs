//! Determines whether an operation was carried out when the server can no longer search for it: pages through the
//! room, as required by the contract.

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;

use crate::Failure;
use crate::request::{Done, Repeatable, named_seq, repeatable};

/// Maximum size of a page.
const PAGE_SIZE: u32 = 200;

/// The part of a room's log that was not searched yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Examination {
    room_id: String,
    from: u64,
    to: u64,
    /// The operation as found so far, possibly incomplete.
    done: Option<Done>,
}

impl Examination {
    /// The search that `operation` needs after this refusal; `None` for other refusals.
    pub(crate) fn asked_for(failure: &Failure, operation: &mut Operation) -> Option<Self> {
        if failure.reason != "catch_up_first" {
            return None;
        }
        let room_id = failure.metadata.get("room_id")?.clone();
        let to = failure.metadata.get("head_seq")?.parse().ok()?;
        let after = (*repeatable(operation)?.after_seq?)?;
        // Otherwise there is nothing to page through, and it would never end.
        (after < to).then_some(Self { room_id, from: after + 1, to, done: None })
    }

    /// The next page to request.
    pub(crate) fn page(&self) -> Operation {
        Operation::ListEvents(v1::ListEventsRequest {
            room_id: self.room_id.clone(),
            from_seq: self.from,
            to_seq: self.to,
            page_size: PAGE_SIZE,
        })
    }

    /// Searches a page for the request `id` of `user`.
    pub(crate) fn read(&mut self, page: v1::ListEventsResponse, user: &str, id: &str) -> Finding {
        for event in page.events {
            let own = event.request_id == id && event.actor_id == user && !is_imported(&event);
            match &mut self.done {
                // The events of one request are consecutive.
                Some(done) if own => done.extend(&event),
                Some(done) => return Finding::Done(done.clone()),
                None if own => self.done = Some(Done::starting_with(event)),
                None => {}
            }
        }
        if (self.from + 1..=self.to).contains(&page.next_from_seq) {
            self.from = page.next_from_seq;
            return Finding::Unfinished;
        }
        self.done.take().map_or(Finding::Absent { up_to: self.to }, Finding::Done)
    }
}

/// Imported messages have ids of the system that they come from.
fn is_imported(event: &v1::Event) -> bool {
    matches!(&event.body, Some(v1::event::Body::Message(message)) if message.sent_at.is_some())
}

/// The reason of a refusal: a seq beyond the head of its room.
pub(crate) const CURSOR_AHEAD: &str = "cursor_ahead";

/// Lowers the `after_seq` of `operation` to the end of its room if a restored backup ends before it. The backup is
/// older than the operation, so it cannot contain it. Operations that refer to an event are left unchanged: its
/// seq may be another event now. Returns whether anything changed.
pub(crate) fn restamp(failure: &Failure, operation: &mut Operation) -> bool {
    let head = failure.metadata.get("head_seq").and_then(|head| head.parse().ok());
    let (Some(head), CURSOR_AHEAD) = (head, failure.reason.as_str()) else { return false };
    if named_seq(operation).is_some() {
        return false;
    }
    let Some(Repeatable { after_seq: Some(after_seq), .. }) = repeatable(operation) else { return false };
    let is_beyond = after_seq.is_some_and(|after| after > head);
    if is_beyond {
        *after_seq = Some(head);
    }
    is_beyond
}

/// The result of paging so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
    /// There are more pages.
    Unfinished,
    /// It was carried out.
    Done(Done),
    /// It was not carried out, up to this seq.
    Absent {
        /// The `after_seq` for the next attempt.
        up_to: u64,
    },
}

#[cfg(test)]
mod tests {
    use parlance_proto::v1::event::Body;

    use super::*;

    fn event(seq: u64) -> v1::Event {
        v1::Event {
            seq,
            actor_id: if seq < 12 { "ann" } else { "bob" }.to_owned(),
            // Two events each: 10 and 11 belong together.
            request_id: format!("r{}", seq / 2 * 2),
            ..Default::default()
        }
    }

    fn page(seqs: std::ops::RangeInclusive<u64>, next_from_seq: u64) -> v1::ListEventsResponse {
        v1::ListEventsResponse { events: seqs.map(event).collect(), next_from_seq, ..Default::default() }
    }

    fn fresh() -> Examination {
        Examination { room_id: "r".to_owned(), from: 5, to: 14, done: None }
    }

    fn done(seq: u64, last_seq: u64) -> Finding {
        Finding::Done(Done { first: event(seq).into(), last_seq, invited: Vec::new() })
    }

    #[test]
    fn pages_are_read_until_it_is_found_or_all_is_seen() {
        let mut found = fresh();
        assert_eq!(found.read(page(5..=8, 9), "ann", "r10"), Finding::Unfinished);
        assert_eq!(found.page(), Examination { from: 9, ..fresh() }.page());
        // Its events lie on two pages.
        assert_eq!(found.read(page(9..=10, 11), "ann", "r10"), Finding::Unfinished);
        assert_eq!(found.read(page(11..=14, 0), "ann", "r10"), done(10, 11));
        assert_eq!(fresh().read(page(5..=11, 0), "ann", "r10"), done(10, 11));
        // Another user's request with that id is a different one.
        assert_eq!(fresh().read(page(5..=14, 0), "ann", "r12"), Finding::Absent { up_to: 14 });
        // A page that makes no progress is the last.
        assert_eq!(fresh().read(page(5..=5, 5), "ann", "r10"), Finding::Absent { up_to: 14 });
    }

    #[test]
    fn it_says_who_was_invited_by_a_request() {
        let invited = |user: &str| {
            Some(Body::MemberInvited(v1::MemberInvited { user_id: user.to_owned(), ..Default::default() }))
        };
        let mut page = page(5..=14, 0);
        page.events[5].body = invited("cid");
        page.events[6].body = invited("dan");
        page.events[7].body = invited("eve");
        let Finding::Done(done) = fresh().read(page, "ann", "r10") else { panic!("not found") };
        assert_eq!(done.invited, ["cid", "dan"]);
    }

    #[test]
    fn an_operation_moves_to_the_end_of_a_restored_room() {
        let refusal = |reason| {
            let mut failure = Failure::new(crate::Code::OutOfRange, reason, "");
            failure.metadata.insert("head_seq".to_owned(), "6".to_owned());
            failure
        };
        let send =
            |after_seq| Operation::SendMessage(v1::SendMessageRequest { after_seq, ..Default::default() });
        let mut beyond = send(Some(26));
        assert!(restamp(&refusal(CURSOR_AHEAD), &mut beyond));
        assert_eq!(beyond, send(Some(6)));
        // Never forward, never without an `after_seq`, and after no other refusal.
        for after in [Some(6), Some(2), None] {
            assert!(!restamp(&refusal(CURSOR_AHEAD), &mut send(after)));
        }
        assert!(!restamp(&refusal("invalid_field"), &mut send(Some(26))));
        let edit = v1::EditMessageRequest { seq: 9, after_seq: Some(26), ..Default::default() };
        assert!(!restamp(&refusal(CURSOR_AHEAD), &mut Operation::EditMessage(edit)));
        let mark = v1::MarkReadRequest { seq: 26, ..Default::default() };
        assert!(!restamp(&refusal(CURSOR_AHEAD), &mut Operation::MarkRead(mark)));
    }

    #[test]
    fn only_that_refusal_of_that_kind_of_operation_asks_for_it() {
        let refusal = |reason, head: u64| {
            let mut failure = Failure::new(crate::Code::FailedPrecondition, reason, "");
            failure.metadata.insert("room_id".to_owned(), "r".to_owned());
            failure.metadata.insert("head_seq".to_owned(), head.to_string());
            failure
        };
        let send =
            |after_seq| Operation::SendMessage(v1::SendMessageRequest { after_seq, ..Default::default() });
        let asked = |failure: &Failure, mut operation| Examination::asked_for(failure, &mut operation);
        assert_eq!(asked(&refusal("catch_up_first", 14), send(Some(4))), Some(fresh()));
        assert_eq!(asked(&refusal("catch_up_first", 4), send(Some(4))), None);
        assert_eq!(asked(&refusal("catch_up_first", 14), send(None)), None);
        assert_eq!(asked(&refusal("outcome_unknown", 14), send(Some(4))), None);
        let typing = Operation::SendTyping(v1::SendTypingRequest::default());
        assert_eq!(asked(&refusal("catch_up_first", 14), typing), None);
    }
}
