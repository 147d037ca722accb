//! The end of a session's token, and the new one that replaces it.

use std::time::Duration;

use parlance_core::Caller;
use parlance_proto::error::Failure;
use parlance_proto::v1;
use tonic::Status;
use v1::reply::Result as Reply;
use v1::server_frame::Frame;

use crate::error::Error;
use crate::limits::{EXPIRY_NOTICE, LEAST_NOTICE};
use crate::session::{Session, Stage};

impl Session {
    /// Sets the timer for the expiry of the token.
    pub(crate) fn await_expiry(&mut self) {
        let remaining = self.remaining();
        let notice = EXPIRY_NOTICE.min(remaining / 2);
        // Who only listens cannot send another token.
        self.is_expiring = self.subscribe_only || notice < LEAST_NOTICE;
        self.set_timer(if self.is_expiring { remaining } else { remaining - notice });
    }

    /// The timer has fired: the token expires soon, or now.
    pub(crate) fn expires(&mut self) -> Result<(), Status> {
        if self.is_expiring {
            return Err(self.refusal(Error::TokenExpired));
        }
        self.is_expiring = true;
        let remaining = self.remaining();
        self.send(Frame::TokenExpiring(v1::TokenExpiring { expires_after: remaining.try_into().ok() }));
        self.set_timer(remaining);
        Ok(())
    }

    /// Continues with the token that the client has sent. Like hello, it waits: for the keys of the issuer, if the
    /// token's key is unknown.
    pub(crate) async fn refresh(&mut self, refresh: v1::Refresh) -> Result<Reply, Failure> {
        self.operations.check_hello(&self.caller).await?;
        let fresh = self.operations.refresh(&self.caller, self.number, refresh).await?;
        self.caller = Caller { client: self.caller.client, ..fresh };
        if self.stage == Stage::Serving {
            self.await_expiry();
        }
        let expires_after = self.remaining().try_into().ok();
        Ok(Reply::Refreshed(v1::Refreshed { expires_after }))
    }

    fn remaining(&self) -> Duration {
        self.caller.remaining(self.sessions.clock.now())
    }
}
