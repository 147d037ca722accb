//! Calls on their way.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;

use crate::backoff;
use crate::examination::{CURSOR_AHEAD, Examination, Finding, restamp};
use crate::random::Random;
use crate::request::{Repeatable, is_momentary, learn, repeatable, repeated, stamp};
use crate::rooms::Rooms;
use crate::session::CallId;
use crate::{Code, Error, Failure};

/// How often a connection may end over a call that was alone on it before the call fails.
const MAX_BLAMED: u32 = 2;

/// Who a call was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// The application.
    Call(CallId),
    /// The command queue, which numbers its calls.
    Command(u64),
}

/// The number of a call, in the order in which they were made. It is the request id of its frame.
type Key = u64;

/// Calls that are not answered yet. Each is ready to send, on the wire, or delayed.
#[derive(Debug)]
pub(crate) struct Outbox {
    calls: BTreeMap<Key, Unanswered>,
    keys: HashMap<Origin, Key>,
    next_key: Key,
    /// To send on this connection, in this order.
    ready: VecDeque<Key>,
    /// Sent on this connection, and when.
    on_wire: BTreeMap<Key, Duration>,
    /// To send again, and when.
    delayed: BTreeSet<(Duration, Key)>,
    /// The server ended a connection over one of the calls up to this one: they go out one
    /// at a time, to find out which it is.
    suspects: Option<Key>,
    /// Begins the ids that this session makes: no two sessions of a user share it.
    prefix: String,
}

#[derive(Debug)]
struct Unanswered {
    origin: Origin,
    operation: Operation,
    /// It has its id, and what was known of its room.
    is_stamped: bool,
    was_sent: bool,
    refusals: u32,
    blamed: u32,
    /// Goes on before the call itself does.
    examination: Option<Examination>,
}

impl Outbox {
    pub(crate) fn new(prefix: String) -> Self {
        Self {
            calls: BTreeMap::new(),
            keys: HashMap::new(),
            next_key: 0,
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

    /// Takes a call. A mutation is made safe to repeat when it goes out.
    pub(crate) fn push(&mut self, origin: Origin, operation: Operation) {
        self.add(origin, operation, false);
    }

    /// Takes a call that was made safe to repeat before, and goes out as it is.
    pub(crate) fn push_stamped(&mut self, origin: Origin, operation: Operation) {
        self.add(origin, operation, true);
    }

    fn add(&mut self, origin: Origin, operation: Operation, is_stamped: bool) {
        let key = self.next_key;
        self.next_key += 1;
        let call = Unanswered {
            origin,
            operation,
            is_stamped,
            was_sent: false,
            refusals: 0,
            blamed: 0,
            examination: None,
        };
        self.calls.insert(key, call);
        self.keys.insert(origin, key);
        self.ready.push_back(key);
    }

    /// Forgets a call, wherever it is. Returns whether it was sent, and may still be carried out.
    pub(crate) fn cancel(&mut self, origin: Origin) -> bool {
        self.keys.get(&origin).copied().and_then(|key| self.forget(key)).is_some_and(|call| call.was_sent)
    }

    fn forget(&mut self, key: Key) -> Option<Unanswered> {
        let call = self.calls.remove(&key)?;
        self.keys.remove(&call.origin);
        self.on_wire.remove(&key);
        self.delayed.retain(|(_, delayed)| *delayed != key);
        Some(call)
    }

    /// On a new connection everything unanswered is sent again, in order.
    pub(crate) fn reconnected(&mut self) {
        self.on_wire.clear();
        let delayed: BTreeSet<Key> = self.delayed.iter().map(|(_, id)| *id).collect();
        self.ready = self.calls.keys().copied().filter(|id| !delayed.contains(id)).collect();
    }

    /// The connection is gone. Returns the calls that are of no use on a later one.
    pub(crate) fn disconnected(&mut self) -> Vec<Origin> {
        self.on_wire.clear();
        let momentary = self.calls.values().filter(|call| is_momentary(&call.operation));
        let momentary: Vec<Origin> = momentary.map(|call| call.origin).collect();
        for origin in &momentary {
            self.cancel(*origin);
        }
        momentary
    }

    /// The server ended the connection over something that it was sent. Returns the call
    /// that is to blame once that is certain enough, and forgets it.
    pub(crate) fn blame(&mut self) -> Option<Origin> {
        let last = *self.on_wire.last_key_value()?.0;
        self.suspects = self.suspects.max(Some(last));
        if self.on_wire.len() > 1 {
            return None;
        }
        let call = self.calls.get_mut(&last)?;
        call.blamed += 1;
        let is_certain = call.blamed >= MAX_BLAMED;
        is_certain.then(|| self.forget(last)).flatten().map(|call| call.origin)
    }

    /// The next frame to send, if any may be sent with those on the wire; see
    /// [`Outbox::sent`].
    pub(crate) fn next_frame(
        &mut self,
        max_in_flight: usize,
        rooms: &Rooms,
    ) -> Option<(Origin, v1::ClientFrame)> {
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
            if !call.is_stamped {
                call.is_stamped = true;
                stamp(&mut call.operation, rooms, || format!("{}-{id}", self.prefix));
            }
            let operation = match &call.examination {
                Some(examination) => examination.page(),
                None => call.operation.clone(),
            };
            let frame = v1::ClientFrame {
                request_id: id.to_string(),
                operation: Some(operation),
                as_user: String::new(),
            };
            return Some((call.origin, frame));
        }
    }

    pub(crate) fn sent(&mut self, origin: Origin, now: Duration) {
        let Some(key) = self.keys.get(&origin) else { return };
        self.on_wire.insert(*key, now);
        if let Some(call) = self.calls.get_mut(key) {
            call.was_sent = true;
        }
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
    ) -> Option<(Origin, Result<Answer, Error>)> {
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
        self.forget(id).map(|call| (call.origin, answer))
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
    pub(crate) fn clear(&mut self) -> Vec<Origin> {
        self.ready.clear();
        self.on_wire.clear();
        self.delayed.clear();
        self.keys.clear();
        std::mem::take(&mut self.calls).into_values().map(|call| call.origin).collect()
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
