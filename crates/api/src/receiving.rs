//! The body of a `Chat` stream: a message that is not complete yet is charged by the length that it claims, which the
//! decoder reserves, and has a time to become complete.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use parlance_core::limits::MAX_FRAME_BYTES;
use parlance_peers::limits::{HELLO_TRIES, UNCHARGED_BYTES};
use parlance_peers::{Budget, Charge};
use parlance_proto::error::Failure;
use tokio::time::{Instant, Sleep, sleep};
use tonic::{Code, Status};

use crate::limits::{MESSAGE_CHECK, MESSAGE_PROGRESS, MESSAGE_PROGRESS_WHEN_FULL, MESSAGE_TIME};

/// Bytes before each message: a flag, and its length.
const PREFIX: usize = 5; // format

/// A body whose last message is charged until it is complete. It fails when too much is held, or a charged message does not
/// become complete.
pub(crate) struct Receiving<B> {
    body: B,
    budget: Option<Arc<Budget>>,
    position: Position,
    /// Messages that are complete: the first ones are hellos.
    complete: usize,
    charge: Option<Charge>,
    /// There while the rest of a charged message is missing. Boxed, since most sessions never need it.
    waiting: Option<Box<Waiting>>,
}

/// How long the rest of a message has been waited for.
struct Waiting {
    /// When that was counted last.
    counted: Instant,
    /// Since its last piece.
    idle: Duration,
    /// Since nothing more of it was there at first.
    all: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Waiting {
    fn new() -> Self {
        let timer = Box::pin(sleep(MESSAGE_CHECK));
        Self { counted: Instant::now(), idle: Duration::ZERO, all: Duration::ZERO, timer }
    }

    /// Counts the time since it was last called. More than between two looks is not the sender's: the session did not read.
    fn count(&mut self) {
        let now = Instant::now();
        let passed = (now - self.counted).min(2 * MESSAGE_CHECK);
        (self.counted, self.idle, self.all) = (now, self.idle + passed, self.all + passed);
    }

    /// Nothing more is there. Ready once that has lasted for too long.
    fn poll_elapsed(&mut self, is_hastened: impl Fn() -> bool, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.count();
            let progress = if is_hastened() { MESSAGE_PROGRESS_WHEN_FULL } else { MESSAGE_PROGRESS };
            if self.idle >= progress || self.all >= MESSAGE_TIME {
                return Poll::Ready(());
            }
            ready!(self.timer.as_mut().poll(cx));
            self.timer.as_mut().reset(self.counted + MESSAGE_CHECK);
        }
    }
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
    /// Moves on past `piece`. Returns how many messages became complete.
    fn pass(&mut self, mut piece: &[u8]) -> usize {
        let mut complete = 0;
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
                (self.begun, complete) = (0, complete + 1);
            }
        }
        complete
    }

    /// The length of the message, if its prefix is there.
    fn claimed(&self) -> usize {
        let [_, length @ ..] = self.prefix;
        if self.begun < PREFIX { 0 } else { u32::from_be_bytes(length) as usize }
    }
}

impl<B> Receiving<B> {
    pub(crate) fn new(body: B, budget: Option<Arc<Budget>>) -> Self {
        Self { body, budget, position: Position::default(), complete: 0, charge: None, waiting: None }
    }

    /// Charges the message that is incomplete after `piece`, if there is one, by the length that it claims.
    fn charge(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let complete = self.position.pass(piece);
        self.complete = self.complete.saturating_add(complete);
        if complete > 0 {
            self.waiting = None;
        }
        // A longer one is refused by the decoder.
        let claimed = self.position.claimed().min(MAX_FRAME_BYTES);
        let Some(budget) = self.budget.as_ref().filter(|_| claimed > UNCHARGED_BYTES) else {
            self.charge = None;
            return Ok(());
        };
        if let Some(waiting) = &mut self.waiting {
            waiting.count();
            waiting.idle = Duration::ZERO;
        }
        if self.charge.as_ref().is_some_and(|charge| charge.bytes() == claimed) {
            return Ok(());
        }
        self.charge = None;
        let may_be_hello = self.complete < HELLO_TRIES;
        let refuses = if may_be_hello { Budget::refuses_hello } else { Budget::refuses };
        if refuses(budget, claimed) {
            return Err(Failure::too_much_held());
        }
        self.charge = Some(budget.hold(claimed));
        Ok(())
    }

    /// Nothing more is there. Ready once a message is not completed in time.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let Some(charge) = &self.charge else { return Poll::Pending };
        let waiting = self.waiting.get_or_insert_with(|| Box::new(Waiting::new()));
        ready!(waiting.poll_elapsed(|| charge.budget().is_hastened(), cx));
        metrics::counter!("parlance_stalled_total").increment(1);
        let message = "the rest of the message did not come";
        Poll::Ready(Failure::new(Code::DeadlineExceeded, "deadline_exceeded", message))
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
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return self.poll_late(cx).map(|late| Some(Err(Status::from(late).into()))),
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
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use parlance_peers::{Ledger, Limits, Peer, Proxies};
    use tokio::time::timeout;

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
            (budget.held(), receiving.complete)
        };
        let large = usize::from(LARGE);
        assert_eq!(held(&[0, 0, 0]), (0, 0));
        assert_eq!(held(&begun(0)[3..]), (large, 0));
        assert_eq!(held(&[b'x'; 100]), (large, 0));
        let rest = vec![b'x'; large - 100];
        assert_eq!(held(&[&rest, &begun(7)[..]].concat()), (large, 1), "the next one");
        assert_eq!(held(&[b'x'; 7]), (large, 1));
        assert_eq!(held(&vec![b'x'; large - 14]), (0, 2));
        assert_eq!(held(&[[0, 0, 0, 0, 1, b'x'], [0, 0, 0, 0, 2, b'x']].concat()), (0, 3), "a small one");
        assert_eq!(held(&[b'x', 0, 0, 0, 0, 0]), (0, 5), "an empty one");
        assert_eq!(held(&[0, 0xff, 0xff, 0xff, 0xff]), (MAX_FRAME_BYTES, 5));
        drop(receiving);
        assert_eq!(budget.held(), 0);
    }

    /// Pieces that are there; more may follow.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.pop_front().map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(Frame::data(piece.into())))))
        }
    }

    type Incomplete = Receiving<Pieces>;

    /// A stream whose first message has begun.
    async fn incomplete(budget: &Arc<Budget>) -> Incomplete {
        let mut receiving = Receiving::new(Pieces([begun(0)].into()), Some(budget.clone()));
        assert!(next(&mut receiving).await.is_ok());
        assert_eq!(budget.held(), usize::from(LARGE));
        receiving
    }

    async fn next(receiving: &mut Incomplete) -> Result<(), String> {
        let next = poll_fn(|cx| Pin::new(&mut *receiving).poll_frame(cx)).await.expect("it does not end");
        next.map(drop).map_err(|error| error.to_string())
    }

    /// How long a piece that does not come is waited for, seconds.
    async fn seconds(receiving: &mut Incomplete) -> u64 {
        let begun = Instant::now();
        assert!(next(receiving).await.unwrap_err().contains("did not come"));
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_has_a_time_for_its_next_piece_and_for_all_of_it() {
        let budget = Budget::new(1 << 20);
        let mut stopped = incomplete(&budget).await;
        assert_eq!(seconds(&mut stopped).await, 10);
        drop(stopped);
        assert_eq!(budget.held(), 0);
        let mut slow = incomplete(&budget).await;
        for _ in 0..3 {
            assert!(timeout(Duration::from_secs(9), next(&mut slow)).await.is_err());
            slow.body.0.push_back(vec![b'x']);
            assert!(next(&mut slow).await.is_ok());
        }
        assert_eq!(seconds(&mut slow).await, 3);
        drop(slow);
        // Nothing is waited for between messages.
        let mut idle = incomplete(&budget).await;
        idle.body.0.push_back(vec![b'x'; usize::from(LARGE)]);
        assert!(next(&mut idle).await.is_ok());
        assert!(timeout(Duration::from_secs(3_600), next(&mut idle)).await.is_err());
    }

    /// A client whose session is over its rate cannot send the rest, since its window is closed.
    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_session_does_not_read_does_not_count() {
        let mut receiving = incomplete(&Budget::new(1 << 20)).await;
        assert!(timeout(Duration::from_secs(1), next(&mut receiving)).await.is_err());
        sleep(Duration::from_secs(60)).await;
        assert_eq!(seconds(&mut receiving).await, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_has_less_time_while_too_much_is_held() {
        let limits = Limits { held_by_all: 10, held_share: 5, ..Limits::production(8) };
        let ledger = Ledger::new(limits, Proxies::default());
        let address = "192.0.2.1".parse().unwrap();
        let peer = Peer::new(address, ledger.connect(address).unwrap());
        let mut receiving = incomplete(peer.held().budget()).await;
        assert_eq!(seconds(&mut receiving).await, 5);
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
