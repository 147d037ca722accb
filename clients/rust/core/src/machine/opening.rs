//! From a token to the welcome.

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;

use super::core::{Core, Link, Open};
use crate::session::{Output, Update};
use crate::{Encoding, Error};

/// The id of the frame: calls use numbers.
const HELLO: &str = "hello";

impl Core {
    pub(super) fn request_token(&mut self) {
        self.link = Link::Token { since: self.now };
        self.outputs.push(Output::RequestToken { refused: self.token.want_fresh });
    }

    pub(super) fn connect(&mut self, token: String) {
        self.token.want_fresh = false;
        self.connection += 1;
        self.link = Link::Connecting { since: self.now };
        let address = self.address % self.options.addresses.len();
        self.outputs.push(Output::Connect { connection: self.connection, address, token });
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.options.addresses[self.address % self.options.addresses.len()]
    }

    /// Sends hello, with as many cursors as fit into a frame.
    pub(super) fn greet(&mut self) {
        if !matches!(self.link, Link::Connecting { .. }) {
            return;
        }
        self.link = Link::Greeting { since: self.now };
        let encoding = self.encoding();
        let device_id = self.options.device_id.clone();
        let mut hello = v1::Hello { device_id, cursors: Vec::new() };
        let frame = |hello| v1::ClientFrame {
            request_id: HELLO.to_owned(),
            operation: Some(Operation::Hello(hello)),
            as_user: String::new(),
        };
        // The name of the field is included with the first cursor.
        let around = encoding.size(&frame(hello.clone())).unwrap_or_default() + r#""cursors":[],"#.len();
        let budget = self.limits.frame_bytes.saturating_sub(around).min(self.limits.cursor_bytes);
        hello.cursors = self.rooms.cursors(encoding, budget);
        self.limits.cursors_sent = hello.cursors.iter().map(|cursor| encoding.cursor_size(cursor)).sum();
        self.outputs.push(Output::Send(frame(hello)));
    }

    pub(super) fn greeted(&mut self, frame: v1::ServerFrame) {
        match frame.frame {
            Some(Frame::Welcome(welcome)) => self.open(welcome),
            Some(Frame::Reply(v1::Reply { result: Some(Answer::Error(error)), .. })) => {
                self.lost(Some(error.into()));
            }
            _ => self.lost(Some(Error::Protocol("the first frame is no welcome".to_owned()))),
        }
    }

    pub(super) fn open(&mut self, welcome: v1::Welcome) {
        self.rooms.connected(&welcome);
        // Before anything of the last connection is sent again.
        self.queue.examine(&self.rooms, &mut self.outbox);
        self.outbox.reconnected();
        self.token.accepted();
        let limits = welcome.limits.unwrap_or_default();
        let allowed = |limit: u32| if limit == 0 { usize::MAX } else { limit as usize };
        self.limits.frame_bytes = allowed(limits.max_frame_bytes);
        self.link = Link::Open(Open {
            since: self.now,
            max_in_flight: self.options.max_in_flight.min(allowed(limits.max_in_flight)).max(1),
            leave_at: None,
            heard: self.now,
            probed: None,
            last_words: None,
            is_refreshing: false,
        });
        self.update(Update::Connected(welcome));
    }
}
