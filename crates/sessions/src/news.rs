//! A session's mailbox, and data read for its rooms.
use parlance_delivery::SharedFrame;
use parlance_hub::Waken;
use parlance_proto::v1::server_frame::Frame;

use crate::open::OpenSession;
use crate::session::{Session, Turn};

impl OpenSession {
    /// Waits for the next work on the session's rooms. Cancel-safe.
    pub(crate) async fn turn(&mut self) -> Turn {
        tokio::select! {
            biased;
            () = self.unreadable.ring() => Turn::Retry,
            opened = self.opening.tasks.next() => Turn::Opened(opened),
            read = self.log_reads.next() => Turn::LogRead(read),
            waken = self.mailbox.next() => Turn::Waken(waken),
        }
    }
}

impl Session {
    /// Handles a mailbox entry.
    pub(crate) fn woken(&mut self, waken: Waken) {
        let Some(open) = &mut self.open else { return };
        match waken {
            Waken::Signal(frame) => self.out.push_back(frame.into()),
            Waken::Attach(attach) => open.attach(attach),
            Waken::Room(subscription) => open.advance(subscription.room(), &mut self.out),
        }
    }

    /// Sends pending gaps.
    pub(crate) fn tell_gaps(&mut self) {
        let Some(open) = &mut self.open else { return };
        for gap in open.notices.drain(..) {
            self.out.push_back(SharedFrame::from(Frame::Gap(gap)).into());
        }
    }
}
