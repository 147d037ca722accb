//! Bodies of requests, read as far as they arrive: what a client claims to send reserves nothing.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http_body_util::BodyExt;
use parlance_peers::limits::UNCHARGED_BYTES;
use parlance_peers::{Budget, Charge, Charged};
use parlance_proto::error::Failure;
use tokio::time::{Instant, timeout_at};
use tonic::Code;

use crate::limits::{BODY_PROGRESS, BODY_PROGRESS_BYTES};

/// Why a body was not read to its end.
#[derive(Debug, PartialEq)]
pub enum Unread {
    /// It is larger than allowed.
    TooLarge,
    /// Too much is held for its connection, or in the process.
    Full,
    /// Nothing more came, or too little.
    Stopped,
    /// It broke off.
    Broken,
}

impl Unread {
    /// The answer.
    pub fn failure(&self) -> Failure {
        match self {
            // As tonic refuses a message that is too large.
            Self::TooLarge => Failure::new(Code::OutOfRange, "out_of_range", "the body is too large"),
            Self::Full => Failure::too_much_held(),
            Self::Stopped => {
                Failure::new(Code::DeadlineExceeded, "deadline_exceeded", "the rest of the body did not come")
            }
            // Nobody is left to read it.
            Self::Broken => Failure::new(Code::Cancelled, "cancelled", "the body broke off"),
        }
    }
}

/// Reads `body`, of at most `most` bytes. It is charged to `budget` as far as it was received, unless it comes in one
/// small piece.
///
/// # Errors
/// See [`Unread`].
pub async fn read(
    mut body: Body,
    most: usize,
    budget: Option<&Arc<Budget>>,
) -> Result<Charged<Bytes>, Unread> {
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    let mut charge: Option<Charge> = None;
    // A trickle is no progress.
    let (mut since, mut progress) = (Instant::now(), 0);
    loop {
        let next = timeout_at(since + BODY_PROGRESS, body.frame()).await.map_err(|_| Unread::Stopped)?;
        let Some(frame) = next else { break };
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a request body broke off");
            Unread::Broken
        })?;
        // Requests have no trailers of use.
        let Ok(piece) = frame.into_data() else { break };
        if first.len() + rest.len() + piece.len() > most {
            return Err(Unread::TooLarge);
        }
        let more = piece.len();
        progress += more;
        if progress >= BODY_PROGRESS_BYTES {
            (since, progress) = (Instant::now(), 0);
        }
        if first.is_empty() && rest.is_empty() {
            first = piece;
            if more <= UNCHARGED_BYTES && body.is_end_stream() {
                break;
            }
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&piece);
        }
        if let Some(budget) = budget {
            if budget.refuses(more) {
                return Err(Unread::Full);
            }
            let received = first.len() + rest.len();
            let charge = charge.get_or_insert_with(|| budget.hold(0));
            charge.grow(received - charge.bytes());
        }
    }
    let value = if rest.is_empty() { first } else { rest.freeze() };
    Ok(Charged { value, charge })
}

/// Reads a body of at most `most` bytes to its end, and keeps nothing of it: over HTTP/1, one that is not read would end
/// the connection, often before its client has the answer.
pub async fn discard(body: Body, most: usize) {
    let (mut pieces, mut read) = (body.into_data_stream(), 0);
    while read <= most
        && let Some(Ok(piece)) = pieces.next().await
    {
        read += piece.len();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;

    use super::*;

    fn pieces(pieces: &[&'static str]) -> Body {
        Body::from_stream(stream::iter(pieces.to_vec()).map(|piece| Ok::<_, Infallible>(Bytes::from(piece))))
    }

    #[tokio::test]
    async fn bodies_in_pieces_are_charged_until_they_are_dropped() {
        let budget = Budget::new(100);
        let body = read(pieces(&["one", "two", "three"]), 11, Some(&budget)).await.unwrap();
        assert_eq!((&body.value[..], budget.held()), (&b"onetwothree"[..], 11));
        drop(body);
        assert_eq!(budget.held(), 0);
        let whole = read(Body::from("whole"), 5, Some(&budget)).await.unwrap();
        assert_eq!((&whole.value[..], budget.held()), (&b"whole"[..], 0), "it is small");
        const LARGE: usize = UNCHARGED_BYTES + 1;
        let large = read(Body::from("x".repeat(LARGE)), LARGE, Some(&budget)).await.unwrap();
        assert_eq!((large.value.len(), budget.held()), (LARGE, LARGE), "its call may take long");
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_end_that_are_too_large_stop_or_exceed_what_is_held() {
        assert_eq!(read(pieces(&["one", "two"]), 5, None).await.unwrap_err(), Unread::TooLarge);
        let stopped = stream::iter(["one"]).map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
        let stopped = Body::from_stream(stopped.chain(stream::pending()));
        assert_eq!(read(stopped, 100, None).await.unwrap_err(), Unread::Stopped);
        let trickle = stream::unfold((), |()| async {
            tokio::time::sleep(BODY_PROGRESS / 2).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"one")), ()))
        });
        assert_eq!(read(Body::from_stream(trickle), 100, None).await.unwrap_err(), Unread::Stopped);
        let budget = Budget::new(5);
        let held = budget.hold(6);
        assert_eq!(read(pieces(&["one", "two"]), 100, Some(&budget)).await.unwrap_err(), Unread::Full);
        drop(held);
        assert_eq!(budget.held(), 0);
    }
}
