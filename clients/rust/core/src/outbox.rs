use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;

use crate::backoff;
use crate::examination::{CURSOR_AHEAD, Examination, Finding, restamp};
use crate::machine::is_momentary;
use crate::random::Random;
use crate::request::{Repeatable, learn, repeatable, repeated, stamp};
use crate::rooms::Rooms;
use crate::session::CallId;
use crate::{Code, Error, Failure};

/// How often a connection may end over a call that was alone on it before the call fails.
const MAX_BLAMED: u32 = 2;

/// Calls that are not answered yet. Each is ready to send, on the wire, or delayed.
#[derive(Debug)]
pub(crate) struct Outbox {
    calls: BTreeMap<CallId, Unanswered>,
    /// To send on this connection, in this order.
    ready: VecDeque<CallId>,
    /// Sent on this connection, and when.
    on_wire: BTreeMap<CallId, Duration>,
    /// To send again, and when.
    delayed: BTreeSet<(Duration, CallId)>,
    /// The server ended a connection over one of the calls up to this one: they go out one
    /// at a time, to find out which it is.
    suspects: Option<CallId>,
    /// Begins the ids that this session makes: no two sessions of a user share it.
    prefix: String,
}

#[derive(Debug)]
struct Unanswered {
    operation: Operation,
    sent: bool,
    refusals: u32,
    blamed: u32,
    /// Goes on before the call itself does.
    examination: Option<Examination>,
}

impl Outbox {
    pub(crate) fn new(prefix: String) -> Self {
        Self {
            calls: BTreeMap::new(),
            ready: VecDeque::new(),
            on_wire: BTreeMap::new(),
            delayed: BTreeSet::new(),
            suspects: None,
            prefix,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(crate) fn push(&mut self, id: CallId, operation: Operation) {
        let call = Unanswered { operation, sent: false, refusals: 0, blamed: 0, examination: None };
        self.calls.insert(id, call);
        self.ready.push_back(id);
    }

    /// Forgets a call, wherever it is. One that was sent may still be carried out.
    pub(crate) fn cancel(&mut self, id: CallId) {
        self.calls.remove(&id);
        self.on_wire.remove(&id);
        self.delayed.retain(|(_, delayed)| *delayed != id);
    }

    /// On a new connection everything unanswered is sent again, in order.
    pub(crate) fn reconnected(&mut self) {
        self.on_wire.clear();
        let delayed: BTreeSet<CallId> = self.delayed.iter().map(|(_, id)| *id).collect();
        self.ready = self.calls.keys().copied().filter(|id| !delayed.contains(id)).collect();
    }

    /// The connection is gone. Returns the calls that are of no use on a later one.
    pub(crate) fn disconnected(&mut self) -> Vec<CallId> {
        self.on_wire.clear();
        let momentary = self.calls.iter().filter(|(_, call)| is_momentary(&call.operation));
        let momentary: Vec<CallId> = momentary.map(|(id, _)| *id).collect();
        for id in &momentary {
            self.cancel(*id);
        }
        momentary
    }

    /// The server ended the connection over something that it was sent. Returns the call
    /// that is to blame once that is certain enough, and forgets it.
    pub(crate) fn blame(&mut self) -> Option<CallId> {
        let last = *self.on_wire.last_key_value()?.0;
        self.suspects = self.suspects.max(Some(last));
        if self.on_wire.len() > 1 {
            return None;
        }
        let call = self.calls.get_mut(&last)?;
        call.blamed += 1;
        let is_certain = call.blamed >= MAX_BLAMED;
        is_certain.then(|| {
            self.cancel(last);
            last
        })
    }

    /// The next frame to send, if any may be sent with those on the wire; see
    /// [`Outbox::sent`].
    pub(crate) fn next_frame(
        &mut self,
        max_in_flight: usize,
        rooms: &Rooms,
    ) -> Option<(CallId, v1::ClientFrame)> {
        if self.suspects.is_some_and(|last| self.calls.range(..=last).next().is_none()) {
            self.suspects = None;
        }
        let max_in_flight = if self.suspects.is_some() { 1 } else { max_in_flight };
        if self.on_wire.len() >= max_in_flight {
            return None;
        }
        loop {
            let id = self.ready.pop_front()?;
            // A cancelled one.
            let Some(call) = self.calls.get_mut(&id) else { continue };
            if !call.sent {
                call.sent = true;
                stamp(&mut call.operation, rooms, || format!("{}-{id}", self.prefix));
            }
            let operation = match &call.examination {
                Some(examination) => examination.page(),
                None => call.operation.clone(),
            };
            return Some((id, v1::ClientFrame { request_id: id.to_string(), operation: Some(operation) }));
        }
    }

    pub(crate) fn sent(&mut self, id: CallId, now: Duration) {
        self.on_wire.insert(id, now);
    }

    /// When the call was sent that waits longest for its answer.
    pub(crate) fn oldest_sent(&self) -> Option<Duration> {
        self.on_wire.values().min().copied()
    }

    /// Takes a reply: returns the answer, or schedules the next try.
    pub(crate) fn answered(
        &mut self,
        now: Duration,
        reply: v1::Reply,
        rooms: &mut Rooms,
        random: &mut Random,
    ) -> Option<(CallId, Result<Answer, Error>)> {
        let id = reply.request_id.parse().ok()?;
        // A second reply to the same frame means nothing.
        self.on_wire.remove(&id)?;
        let call = self.calls.get_mut(&id)?;
        let answer = match reply.result {
            Some(Answer::Error(error)) => {
                let error = Error::from(error);
                if let Some(delay) = retry(&error, call.refusals, random) {
                    call.refusals += 1;
                    self.delayed.insert((now + delay, id));
                    return None;
                }
                if call.goes_on_after(error.failure()?) {
                    self.ready.push_back(id);
                    return None;
                }
                Err(error)
            }
            Some(Answer::ListEvents(page)) if call.examination.is_some() => {
                let Some(answer) = call.examined(page, rooms.user()) else {
                    self.ready.push_back(id);
                    return None;
                };
                learn(&call.operation, &answer, rooms);
                Ok(answer)
            }
            Some(answer) => {
                learn(&call.operation, &answer, rooms);
                Ok(answer)
            }
            None => Err(Error::Protocol("the reply holds nothing that is known here".to_owned())),
        };
        self.calls.remove(&id);
        Some((id, answer))
    }

    /// When the next delayed call is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// Makes delayed calls that are due ready.
    pub(crate) fn wake(&mut self, now: Duration) {
        while let Some((due, id)) = self.delayed.first().copied().filter(|(due, _)| *due <= now) {
            self.delayed.remove(&(due, id));
            self.ready.push_back(id);
        }
    }

    /// The session is over: returns what will not be answered.
    pub(crate) fn clear(&mut self) -> Vec<CallId> {
        self.ready.clear();
        self.on_wire.clear();
        self.delayed.clear();
        std::mem::take(&mut self.calls).into_keys().collect()
    }
}

impl Unanswered {
    /// Prepares the call to be sent again after a refusal that the contract gives an answer
    /// to; returns whether that is so.
    fn goes_on_after(&mut self, failure: &Failure) -> bool {
        let was_examined = self.examination.take().is_some();
        self.examination = Examination::asked_for(failure, &mut self.operation);
        self.examination.is_some()
            || restamp(failure, &mut self.operation)
            // The room was restored while it was paged: the server looks anew.
            || (was_examined && failure.reason == CURSOR_AHEAD)
    }

    /// Takes a page that was asked for to find out whether the call was carried out: the
    /// answer, if it was.
    fn examined(&mut self, page: v1::ListEventsResponse, user: &str) -> Option<Answer> {
        let examination = self.examination.as_mut()?;
        let Repeatable { id, after_seq, .. } = repeatable(&mut self.operation)?;
        match examination.read(page, user, id) {
            Finding::Unfinished => return None,
            Finding::Absent { up_to } => *after_seq? = Some(up_to),
            Finding::Done(done) => return repeated(&self.operation, done),
        }
        self.examination = None;
        None
    }
}

/// How long to wait before a refused call is sent again; `None` where the refusal is
/// final. A limit that names no delay is one that waiting does not lift.
fn retry(error: &Error, refusals: u32, random: &mut Random) -> Option<Duration> {
    let failure = error.failure()?;
    match failure.code {
        // Past its deadline it may have been carried out: the same id tells.
        Code::Unavailable | Code::DeadlineExceeded => {
            Some(failure.retry_after.unwrap_or_else(|| backoff::delay(refusals, random)))
        }
        // A little later than asked, not all at the same moment.
        Code::ResourceExhausted => failure.retry_after.map(|delay| delay + random.jittered(delay / 8)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn outbox(calls: CallId) -> Outbox {
        let mut outbox = Outbox::new("session".to_owned());
        for id in 0..calls {
            outbox.push(id, Operation::GetUser(v1::GetUserRequest::default()));
        }
        outbox
    }

    fn send(outbox: &mut Outbox) -> Vec<CallId> {
        let rooms = Rooms::new([]);
        let mut sent = Vec::new();
        while let Some((id, frame)) = outbox.next_frame(usize::MAX, &rooms) {
            assert_eq!(frame.request_id, id.to_string());
            outbox.sent(id, SECOND);
            sent.push(id);
        }
        sent
    }

    fn reply(outbox: &mut Outbox, id: CallId, result: Answer) -> Option<(CallId, Result<Answer, Error>)> {
        let reply = v1::Reply { request_id: id.to_string(), result: Some(result) };
        outbox.answered(SECOND, reply, &mut Rooms::new([]), &mut Random::new(1))
    }

    fn refuse(outbox: &mut Outbox, id: CallId, failure: Failure) -> Option<String> {
        let error = v1::Error {
            code: failure.code.into(),
            reason: failure.reason,
            retry_delay: failure.retry_after.map(|delay| delay.try_into().unwrap()),
            ..Default::default()
        };
        let (answered, result) = reply(outbox, id, Answer::Error(error))?;
        assert_eq!(answered, id);
        Some(result.unwrap_err().failure().unwrap().reason.clone())
    }

    fn done() -> Answer {
        Answer::GetUser(v1::GetUserResponse::default())
    }

    #[test]
    fn what_is_not_answered_goes_out_again_in_order() {
        let mut outbox = outbox(4);
        assert_eq!(send(&mut outbox), [0, 1, 2, 3]);
        assert_eq!(reply(&mut outbox, 1, done()), Some((1, Ok(done()))));
        assert_eq!(reply(&mut outbox, 1, done()), None);
        outbox.cancel(3);
        outbox.reconnected();
        assert_eq!(send(&mut outbox), [0, 2]);
    }

    #[test]
    fn only_passing_refusals_are_repeated() {
        let mut outbox = outbox(4);
        send(&mut outbox);
        assert_eq!(
            refuse(&mut outbox, 3, Failure::new(Code::DeadlineExceeded, "operation_timeout", "")),
            None
        );
        outbox.wake(SECOND * 2);
        assert_eq!(send(&mut outbox), [3]);
        let limit = || Failure::new(Code::ResourceExhausted, "rate_limited", "");
        let delay = SECOND * 3;
        assert_eq!(refuse(&mut outbox, 0, Failure { retry_after: Some(delay), ..limit() }), None);
        assert_eq!(refuse(&mut outbox, 1, limit()).unwrap(), "rate_limited");
        let catch_up = Failure::new(Code::FailedPrecondition, "catch_up_first", "");
        assert_eq!(refuse(&mut outbox, 2, catch_up).unwrap(), "catch_up_first");

        // Neither a new connection nor less than the delay makes it ready.
        outbox.reconnected();
        assert_eq!(send(&mut outbox), [3]);
        outbox.wake(SECOND * 3);
        assert_eq!(send(&mut outbox), [0; 0]);
        let due = outbox.next_due().unwrap();
        assert!((delay..delay * 2).contains(&(due - SECOND)));
        outbox.wake(due);
        assert_eq!(send(&mut outbox), [0]);
    }

    #[test]
    fn abandoned_calls_take_no_place_even_while_they_are_delayed() {
        let mut outbox = outbox(3);
        let rooms = Rooms::new([]);
        let (id, _) = outbox.next_frame(1, &rooms).unwrap();
        outbox.sent(id, SECOND);
        assert_eq!(outbox.next_frame(1, &rooms), None);
        let busy = Failure { retry_after: Some(SECOND * 60), ..Failure::new(Code::Unavailable, "busy", "") };
        assert_eq!(refuse(&mut outbox, 0, busy), None);
        let (id, _) = outbox.next_frame(1, &rooms).unwrap();
        outbox.sent(id, SECOND);
        outbox.cancel(id);
        assert_eq!(outbox.next_frame(1, &rooms).unwrap().0, 2);
        outbox.cancel(0);
        assert_eq!(outbox.next_due(), None);
    }

    #[test]
    fn a_restored_room_takes_what_was_sent_to_it_before() {
        let mut outbox = Outbox::new("session".to_owned());
        let target = Some(v1::send_message_request::Target::RoomId("r".to_owned()));
        let message = v1::SendMessageRequest { target, after_seq: Some(26), ..Default::default() };
        outbox.push(0, Operation::SendMessage(message));
        let refusal = |reason: &str, head: u64| {
            let metadata = [("room_id", "r".to_owned()), ("head_seq", head.to_string())]
                .map(|(key, value)| (key.to_owned(), value));
            let code = Code::OutOfRange.into();
            Answer::Error(v1::Error {
                code,
                reason: reason.to_owned(),
                metadata: metadata.into(),
                ..Default::default()
            })
        };
        let rooms = Rooms::new([]);
        let next = |outbox: &mut Outbox| {
            let (id, frame) = outbox.next_frame(1, &rooms).unwrap();
            outbox.sent(id, SECOND);
            match frame.operation.unwrap() {
                Operation::SendMessage(message) => message.after_seq,
                Operation::ListEvents(_) => None,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(next(&mut outbox), Some(26));
        assert_eq!(reply(&mut outbox, 0, refusal("cursor_ahead", 6)), None);
        assert_eq!(next(&mut outbox), Some(6));
        // It is restored once more while it is paged.
        assert_eq!(reply(&mut outbox, 0, refusal("catch_up_first", 400)), None);
        assert_eq!(next(&mut outbox), None);
        assert_eq!(reply(&mut outbox, 0, refusal("cursor_ahead", 6)), None);
        assert_eq!(next(&mut outbox), Some(6));
        // A refusal that says nothing new is final.
        assert!(reply(&mut outbox, 0, refusal("cursor_ahead", 6)).is_some());
    }

    #[test]
    fn a_call_that_the_server_hangs_up_over_is_found_and_fails() {
        let mut outbox = outbox(3);
        assert_eq!(send(&mut outbox), [0, 1, 2]);
        assert_eq!(outbox.blame(), None);
        // One at a time from now on: 0 is answered, 1 is the one.
        outbox.reconnected();
        assert_eq!(send(&mut outbox)[..1], [0]);
        outbox.reconnected();
        let rooms = Rooms::new([]);
        let next = |outbox: &mut Outbox| {
            let (id, _) = outbox.next_frame(usize::MAX, &rooms)?;
            outbox.sent(id, SECOND);
            Some(id)
        };
        assert_eq!((next(&mut outbox), next(&mut outbox)), (Some(0), None));
        assert!(reply(&mut outbox, 0, done()).is_some());
        assert_eq!((next(&mut outbox), next(&mut outbox)), (Some(1), None));
        assert_eq!(outbox.blame(), None);
        outbox.reconnected();
        assert_eq!(next(&mut outbox), Some(1));
        assert_eq!(outbox.blame(), Some(1));
        outbox.reconnected();
        assert_eq!(next(&mut outbox), Some(2));
        assert!(reply(&mut outbox, 2, done()).is_some());
        assert!(outbox.is_empty());
    }
}
