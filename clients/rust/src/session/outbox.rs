use std::collections::{BTreeMap, BTreeSet, VecDeque};

use parlance_proto::v1;
use parlance_proto::v1::reply::Result as Answer;
use tokio::time::Instant;
use tonic::Code;

use super::examination::{Examination, Finding};
use super::rooms::Rooms;
use super::{Call, backoff};
use crate::request::{Repeatable, learn, repeatable, repeated, stamp};
use crate::{ClientError, random};

/// Calls that are not answered yet, in the order in which they were made.
#[derive(Debug)]
pub(super) struct Outbox {
    calls: BTreeMap<u64, Unanswered>,
    /// To send on this connection.
    ready: VecDeque<u64>,
    /// To send again, and when.
    delayed: BTreeSet<(Instant, u64)>,
    next: u64,
    /// Begins the ids that this session makes: no two sessions of a user share it.
    prefix: String,
}

#[derive(Debug)]
struct Unanswered {
    call: Call,
    sent: bool,
    refusals: u32,
    /// Goes on before the call itself does.
    examination: Option<Examination>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            calls: BTreeMap::new(),
            ready: VecDeque::new(),
            delayed: BTreeSet::new(),
            next: 0,
            prefix: format!("{:016x}{:016x}", random::number(), random::number()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn push(&mut self, call: Call) {
        self.calls.insert(self.next, Unanswered { call, sent: false, refusals: 0, examination: None });
        self.ready.push_back(self.next);
        self.next += 1;
    }

    /// On a new connection everything unanswered goes out again, in order.
    pub(super) fn reconnected(&mut self) {
        self.forget_abandoned();
        self.delayed.retain(|(_, key)| self.calls.contains_key(key));
        let delayed: BTreeSet<u64> = self.delayed.iter().map(|(_, key)| *key).collect();
        self.ready = self.calls.keys().copied().filter(|key| !delayed.contains(key)).collect();
    }

    /// Forgets the calls for whose answer nobody waits any more.
    pub(super) fn forget_abandoned(&mut self) {
        self.calls.retain(|_, unanswered| !unanswered.call.answer.is_closed());
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next frame to send, if any.
    pub(super) fn next_frame(&mut self, rooms: &Rooms) -> Option<v1::ClientFrame> {
        loop {
            let key = self.ready.pop_front()?;
            let Some(unanswered) = self.calls.get_mut(&key) else { continue };
            if unanswered.call.answer.is_closed() {
                self.calls.remove(&key);
                continue;
            }
            if !unanswered.sent {
                unanswered.sent = true;
                stamp(&mut unanswered.call.operation, rooms, || format!("{}-{key}", self.prefix));
            }
            let operation = match &unanswered.examination {
                Some(examination) => examination.page(),
                None => unanswered.call.operation.clone(),
            };
            return Some(v1::ClientFrame { request_id: key.to_string(), operation: Some(operation) });
        }
    }

    /// Takes a reply: hands the answer over, or schedules the next try.
    pub(super) fn answered(&mut self, reply: v1::Reply, rooms: &mut Rooms) {
        let Ok(key) = reply.request_id.parse() else { return };
        let Some(unanswered) = self.calls.get_mut(&key) else { return };
        let answer = match reply.result {
            Some(Answer::Error(error)) => {
                let error = ClientError::from(error);
                if let Some(delay) = retry(&error, unanswered.refusals) {
                    unanswered.refusals += 1;
                    self.delayed.insert((Instant::now() + delay, key));
                    return;
                }
                let operation = &mut unanswered.call.operation;
                unanswered.examination =
                    error.failure().and_then(|failure| Examination::asked_for(failure, operation));
                if unanswered.examination.is_some() {
                    self.ready.push_back(key);
                    return;
                }
                Err(error)
            }
            Some(Answer::ListEvents(page)) if unanswered.examination.is_some() => {
                let Some(answer) = unanswered.examined(page, rooms.user()) else {
                    self.ready.push_back(key);
                    return;
                };
                learn(&unanswered.call.operation, &answer, rooms);
                Ok(answer)
            }
            Some(answer) => {
                learn(&unanswered.call.operation, &answer, rooms);
                Ok(answer)
            }
            None => Err(ClientError::Protocol("the reply holds nothing that is known here".to_owned())),
        };
        if let Some(unanswered) = self.calls.remove(&key) {
            // Nobody waiting any more is no error.
            let _ = unanswered.call.answer.send(answer);
        }
    }

    /// When the next delayed call is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// Makes delayed calls that are due ready.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((due, key)) = self.delayed.first().copied().filter(|(due, _)| *due <= now) {
            self.delayed.remove(&(due, key));
            self.ready.push_back(key);
        }
    }

    /// The session is over: nothing will be answered.
    pub(super) fn fail(&mut self, error: &ClientError) {
        for (_, unanswered) in std::mem::take(&mut self.calls) {
            let _ = unanswered.call.answer.send(Err(error.clone()));
        }
    }
}

impl Unanswered {
    /// Takes a page that was asked for to find out whether the call was carried out: the
    /// answer, if it was.
    fn examined(&mut self, page: v1::ListEventsResponse, user: &str) -> Option<Answer> {
        let examination = self.examination.as_mut()?;
        let Repeatable { id, after_seq, .. } = repeatable(&mut self.call.operation)?;
        match examination.read(page, user, id) {
            Finding::Unfinished => return None,
            Finding::Absent { up_to } => *after_seq? = Some(up_to),
            Finding::Done(done) => return repeated(&self.call.operation, done),
        }
        self.examination = None;
        None
    }
}

/// How long to wait before a refused call goes out again; `None` where the refusal is
/// final. A limit that names no delay is one that waiting does not lift.
fn retry(error: &ClientError, refusals: u32) -> Option<std::time::Duration> {
    let failure = error.failure()?;
    match failure.code {
        // Past its deadline it may have been carried out: the same id tells.
        Code::Unavailable | Code::DeadlineExceeded => {
            Some(failure.retry_after.unwrap_or_else(|| backoff::delay(refusals)))
        }
        Code::ResourceExhausted => failure.retry_after.map(random_above),
        _ => None,
    }
}

/// A little later than asked, not all at the same moment.
fn random_above(delay: std::time::Duration) -> std::time::Duration {
    delay + random::jittered(delay / 8)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parlance_proto::error::Failure;
    use parlance_proto::v1::client_frame::Operation;
    use tokio::sync::oneshot;

    use super::*;

    type Answered = oneshot::Receiver<Result<Answer, ClientError>>;

    fn typing(outbox: &mut Outbox) -> Answered {
        let (answer, answered) = oneshot::channel();
        let operation = Operation::SendTyping(v1::SendTypingRequest::default());
        outbox.push(Call { operation, answer });
        answered
    }

    fn sent(outbox: &mut Outbox) -> Vec<String> {
        let rooms = Rooms::new([]);
        std::iter::from_fn(|| outbox.next_frame(&rooms)).map(|frame| frame.request_id).collect()
    }

    fn reply(outbox: &mut Outbox, key: &str, result: Answer) {
        let reply = v1::Reply { request_id: key.to_owned(), result: Some(result) };
        outbox.answered(reply, &mut Rooms::new([]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_goes_out_again_in_order() {
        let mut outbox = Outbox::new();
        let mut waiting: Vec<_> = (0..4).map(|_| typing(&mut outbox)).collect();
        assert_eq!(sent(&mut outbox), ["0", "1", "2", "3"]);
        reply(&mut outbox, "1", Answer::SendTyping(v1::SendTypingResponse {}));
        assert!(waiting[1].try_recv().unwrap().is_ok());
        drop(waiting.remove(3));
        outbox.reconnected();
        assert_eq!(sent(&mut outbox), ["0", "2"]);
        assert_eq!(outbox.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_passing_refusals_are_repeated() {
        let mut outbox = Outbox::new();
        let mut waiting: Vec<_> = (0..4).map(|_| typing(&mut outbox)).collect();
        sent(&mut outbox);
        let late = Failure::new(Code::DeadlineExceeded, "operation_timeout", "");
        reply(&mut outbox, "3", Answer::Error(late.into()));
        assert!(waiting[3].try_recv().is_err());
        outbox.wake(Instant::now() + Duration::from_secs(1));
        assert_eq!(sent(&mut outbox), ["3"]);
        let limit = || Failure::new(Code::ResourceExhausted, "rate_limited", "");
        let delay = Duration::from_secs(3);
        reply(&mut outbox, "0", Answer::Error(limit().retry_after(delay).into()));
        reply(&mut outbox, "1", Answer::Error(limit().into()));
        reply(
            &mut outbox,
            "2",
            Answer::Error(Failure::new(Code::FailedPrecondition, "catch_up_first", "").into()),
        );
        assert!(waiting[0].try_recv().is_err());
        assert_eq!(waiting[1].try_recv().unwrap().unwrap_err().failure().unwrap().reason, "rate_limited");
        assert_eq!(waiting[2].try_recv().unwrap().unwrap_err().failure().unwrap().reason, "catch_up_first");

        // Neither a new connection nor less than the delay makes it ready.
        outbox.reconnected();
        assert_eq!(sent(&mut outbox), ["3"]);
        outbox.wake(Instant::now() + Duration::from_secs(2));
        assert!(!outbox.has_ready());
        let due = outbox.next_due().unwrap();
        assert!((delay..delay * 2).contains(&(due - Instant::now())));
        outbox.wake(due);
        assert_eq!(sent(&mut outbox), ["0"]);
    }

    #[test]
    fn the_end_answers_everything() {
        let mut outbox = Outbox::new();
        let mut waiting = typing(&mut outbox);
        outbox.fail(&ClientError::SessionEnded);
        assert_eq!(waiting.try_recv().unwrap().unwrap_err(), ClientError::SessionEnded);
    }
}
