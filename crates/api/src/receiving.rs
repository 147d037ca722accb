//! The body of a `Chat` stream: a message that is not complete yet is charged by the length that it claims, which the
//! decoder reserves.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use parlance_core::limits::MAX_FRAME_BYTES;
use parlance_peers::limits::UNCHARGED_BYTES;
use parlance_peers::{Budget, Charge};
use parlance_proto::error::Failure;
use tonic::Status;

/// Bytes before each message: a flag, and its length.
const PREFIX: usize = 5; // format

/// A body whose last message is charged until it is complete. It fails when too much is held.
pub(crate) struct Receiving<B> {
    body: B,
    budget: Option<Arc<Budget>>,
    position: Position,
    /// No message is complete yet: the first one is a hello.
    is_first: bool,
    charge: Option<Charge>,
}

/// Where in a message the body is.
#[derive(Debug, Default)]
struct Position {
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that are there.
    begun: usize,
    /// Bytes of the message that are missing.
    missing: usize,
}

impl Position {
    /// Moves on past `piece`. Returns whether a message became complete.
    fn pass(&mut self, mut piece: &[u8]) -> bool {
        let mut is_complete = false;
        while !piece.is_empty() {
            if self.begun < PREFIX {
                let taken = piece.len().min(PREFIX - self.begun);
                self.prefix[self.begun..][..taken].copy_from_slice(&piece[..taken]);
                (self.begun, piece) = (self.begun + taken, &piece[taken..]);
                self.missing = self.claimed();
            } else {
                let taken = piece.len().min(self.missing);
                (self.missing, piece) = (self.missing - taken, &piece[taken..]);
            }
            if self.begun == PREFIX && self.missing == 0 {
                (self.begun, is_complete) = (0, true);
            }
        }
        is_complete
    }

    /// The length of the message, if its prefix is there.
    fn claimed(&self) -> usize {
        let [_, length @ ..] = self.prefix;
        if self.begun < PREFIX { 0 } else { u32::from_be_bytes(length) as usize }
    }
}

impl<B> Receiving<B> {
    pub(crate) fn new(body: B, budget: Option<Arc<Budget>>) -> Self {
        Self { body, budget, position: Position::default(), is_first: true, charge: None }
    }

    /// Charges the message that is incomplete after `piece`, if there is one, by the length that it claims.
    fn charge(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.is_first &= !self.position.pass(piece);
        // A longer one is refused by the decoder.
        let claimed = self.position.claimed().min(MAX_FRAME_BYTES);
        let Some(budget) = self.budget.as_ref().filter(|_| claimed > UNCHARGED_BYTES) else {
            self.charge = None;
            return Ok(());
        };
        if self.charge.as_ref().is_some_and(|charge| charge.bytes() == claimed) {
            return Ok(());
        }
        self.charge = None;
        let refuses = if self.is_first { Budget::refuses_hello } else { Budget::refuses };
        if refuses(budget, claimed) {
            return Err(Failure::too_much_held());
        }
        self.charge = Some(budget.hold(claimed));
        Ok(())
    }
}

impl<B> Body for Receiving<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(None) };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Poll::Ready(Some(Err(error.into()))),
        };
        if let Some(piece) = frame.data_ref() {
            self.charge(piece).map_err(Status::from)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: u16 = 2 * UNCHARGED_BYTES as u16;

    /// The beginning of a large message, of `bytes`.
    fn begun(bytes: usize) -> Vec<u8> {
        let [high, low] = LARGE.to_be_bytes();
        [vec![0, 0, 0, high, low], vec![b'x'; bytes]].concat()
    }

    #[test]
    fn a_message_is_charged_by_what_it_claims_until_it_is_complete() {
        let budget = Budget::new(1 << 20);
        let mut receiving = Receiving::new((), Some(budget.clone()));
        let mut held = |piece: &[u8]| {
            receiving.charge(piece).unwrap();
            (budget.held(), receiving.is_first)
        };
        let large = usize::from(LARGE);
        assert_eq!(held(&[0, 0, 0]), (0, true));
        assert_eq!(held(&begun(0)[3..]), (large, true));
        assert_eq!(held(&[b'x'; 100]), (large, true));
        let rest = vec![b'x'; large - 100];
        assert_eq!(held(&[&rest, &begun(7)[..]].concat()), (large, false), "the next one");
        assert_eq!(held(&[b'x'; 7]), (large, false));
        assert_eq!(held(&vec![b'x'; large - 14]), (0, false));
        assert_eq!(held(&[[0, 0, 0, 0, 1, b'x'], [0, 0, 0, 0, 2, b'x']].concat()), (0, false), "a small one");
        assert_eq!(held(&[b'x', 0, 0, 0, 0, 0]), (0, false), "an empty one");
        assert_eq!(held(&[0, 0xff, 0xff, 0xff, 0xff]), (MAX_FRAME_BYTES, false));
        drop(receiving);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn no_further_message_is_received_when_too_much_is_held() {
        let budget = Budget::new(2 * usize::from(LARGE));
        let mut first = Receiving::new((), Some(budget.clone()));
        first.charge(&begun(0)).unwrap();
        let _held = budget.hold(usize::from(LARGE));
        let mut second = Receiving::new((), Some(budget.clone()));
        let refused = second.charge(&begun(0)).unwrap_err();
        assert_eq!((refused.reason.as_str(), budget.held()), ("rate_limited", 2 * usize::from(LARGE)));
    }
}
