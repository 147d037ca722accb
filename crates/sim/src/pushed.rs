//! The sending side of a WebSocket: nodes push to it past an idle session.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use parlance_delivery::{Frames, Push, SharedFrame, Source};

use crate::dice::lock;

/// Frames that fit between a node and its client. Few, so that connections are often full.
const WINDOW: usize = 3;

/// A connection that supports pushing.
pub(crate) struct PushedConnection {
    state: Mutex<State>,
    /// Frames pushed in the whole simulation.
    total: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    /// The session had nothing when it was last polled, and the window is not full.
    is_idle: bool,
    pushed: VecDeque<SharedFrame>,
    reader: Option<Waker>,
}

impl PushedConnection {
    /// A connection whose frames are counted in `total`.
    pub(crate) fn new(total: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), total })
    }

    /// The next frame: pushed frames precede later ones of the session.
    pub(crate) fn poll_frame(
        &self,
        frames: &mut Frames,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<SharedFrame, tonic::Status>>> {
        {
            let mut state = lock(&self.state);
            if let Some(frame) = state.pushed.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            state.is_idle = false;
        }
        let frame = Pin::new(frames).poll_next(cx);
        if frame.is_pending() {
            let mut state = lock(&self.state);
            state.is_idle = true;
            state.reader = Some(cx.waker().clone());
        }
        frame
    }
}

impl Push for PushedConnection {
    fn push(&self, source: &mut dyn Source) -> bool {
        let mut state = lock(&self.state);
        if !state.is_idle {
            return false;
        }
        while state.is_idle
            && let Some(delivery) = source.next()
        {
            let frames = delivery.frames();
            self.total.fetch_add(frames.len(), Ordering::Relaxed);
            state.pushed.extend(frames.iter().cloned());
            state.is_idle = state.pushed.len() < WINDOW;
        }
        if !state.pushed.is_empty()
            && let Some(reader) = state.reader.take()
        {
            reader.wake();
        }
        true
    }
}
