//! An open connection.

use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;

use super::core::{Core, Link, Open};
use crate::rooms::Verdict;
use crate::session::{Output, Update};
use crate::{Code, Error, Failure};

/// The id of the frame: calls use numbers.
const PROBE: &str = "probe";

/// The id of the frame with a new token. Its answer is not awaited: if it is refused, the connection ends as it would
/// have without.
const REFRESH: &str = "refresh";

/// Timeout of an answer: more than the server's own deadline.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(25);

/// Silence after which the server is probed. A proxy may answer the transport's pings for
/// a server that is gone.
const SILENCE: Duration = Duration::from_secs(25);

/// Timeout of the probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

impl Core {
    pub(super) fn received(&mut self, frame: v1::ServerFrame) {
        let now = self.now;
        let Link::Open(open) = &mut self.link else { return };
        open.heard = now;
        open.probed = None;
        match frame.frame {
            Some(Frame::Reply(v1::Reply { request_id, result: Some(Answer::Error(error)) }))
                if request_id.is_empty() =>
            {
                open.last_words = Some(error.into());
            }
            Some(Frame::Reply(reply)) => {
                let answered = self.outbox.answered(now, reply, &mut self.rooms, &mut self.random);
                if let Some((id, result)) = answered {
                    self.answer(id, result);
                }
            }
            Some(Frame::Event(event)) => {
                let verdict = self.rooms.event(&event);
                let room_id = event.room_id.clone();
                self.hand_over(verdict, &room_id, Update::Event(event));
            }
            Some(Frame::Gap(mut gap)) => {
                let verdict = self.rooms.gap(&mut gap);
                let room_id = gap.room_id.clone();
                self.hand_over(verdict, &room_id, Update::Gap(gap));
            }
            Some(Frame::Signal(signal)) => self.update(Update::Signal(signal)),
            Some(Frame::Draining(draining)) => {
                let asked = draining.reconnect_after.and_then(|delay| delay.try_into().ok());
                open.leave_at.get_or_insert(now + asked.unwrap_or(Duration::ZERO));
            }
            Some(Frame::TokenExpiring(_)) => {
                open.is_refreshing = true;
                self.outputs.push(Output::RequestToken { refused: true });
            }
            // A second welcome is ignored, and so is a frame of a later version.
            Some(Frame::Welcome(_)) | None => {}
        }
    }

    /// Sends the token that was requested for this connection.
    pub(super) fn refresh(&mut self, token: String) {
        let Link::Open(open) = &mut self.link else { return };
        if std::mem::take(&mut open.is_refreshing) {
            let operation = Some(Operation::Refresh(v1::Refresh { token }));
            let frame = v1::ClientFrame { request_id: REFRESH.to_owned(), operation, as_user: String::new() };
            self.outputs.push(Output::Send(frame));
        }
    }

    pub(super) fn hand_over(&mut self, verdict: Verdict, room_id: &str, update: Update) {
        if let Some(violation) = verdict.violation {
            self.update(Update::Violation(violation));
        }
        if verdict.deliver {
            let cursor = self.rooms.cursor(room_id);
            let is_restored = matches!(&update, Update::Gap(gap) if gap.reason() == v1::GapReason::Restored);
            self.outputs.push(Output::Update { update, cursor });
            if is_restored {
                self.queue.examine(&self.rooms, &mut self.outbox);
            }
            self.queue.observed(&self.rooms);
        }
    }

    /// Sends ready calls, up to the server's limits. A call because of which the server
    /// would close the connection is refused here, or that would repeat forever.
    pub(super) fn send_ready(&mut self) {
        let Link::Open(open) = &self.link else { return };
        let (max_in_flight, limit, encoding) = (open.max_in_flight, self.limits.frame_bytes, self.encoding());
        self.outbox.wake(self.now);
        while let Some((id, frame)) = self.outbox.next_frame(max_in_flight, &self.rooms) {
            let refusal = match encoding.size(&frame) {
                Ok(size) if size <= limit => {
                    self.outbox.sent(id, self.now);
                    self.outputs.push(Output::Send(frame));
                    continue;
                }
                Ok(size) => {
                    let message = format!("the request has {size} bytes, and a frame at most {limit}");
                    Failure::new(Code::InvalidArgument, "frame_too_large", message).into()
                }
                Err(error) => error,
            };
            self.outbox.cancel(id);
            self.answer(id, Err(refusal));
        }
    }

    /// When the oldest call in flight times out.
    pub(super) fn answer_due(&self) -> Option<Duration> {
        Some(self.outbox.oldest_sent()?.max(self.reading?) + ANSWER_TIMEOUT)
    }

    /// When the server has to be probed, or the probe times out.
    pub(super) fn silence_due(&self, open: &Open) -> Option<Duration> {
        let reading = self.reading?;
        Some(match open.probed {
            None => open.heard.max(reading) + SILENCE,
            Some(probed) => probed.max(reading) + PROBE_TIMEOUT,
        })
    }

    pub(super) fn silent(&mut self) {
        match &self.link {
            Link::Open(Open { probed: None, .. }) => self.probe(),
            _ => self.lost(Some(Error::Io("nothing was heard from the server".to_owned()))),
        }
    }

    pub(super) fn probe(&mut self) {
        let Link::Open(open) = &mut self.link else { return };
        open.probed = Some(self.now);
        let operation = Operation::GetUser(v1::GetUserRequest { user_id: "me".to_owned() });
        let frame = v1::ClientFrame {
            request_id: PROBE.to_owned(),
            operation: Some(operation),
            as_user: String::new(),
        };
        self.outputs.push(Output::Send(frame));
    }
}
