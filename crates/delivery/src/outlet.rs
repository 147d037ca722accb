use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use crate::Delivery;

/// A connection that takes what there is for its client from whoever has it, while its own
/// task has nothing to do: waking that for every delivery costs as much as the delivery.
pub trait Push: Send + Sync {
    /// Sends what `source` gives, until it gives nothing more, or the connection is no longer
    /// idle. Returns whether it was idle; if not, `source` was not asked.
    ///
    /// What was given is sent, by the connection's own task if not at once. While `source` is
    /// asked that task does nothing, so that the session's place may be moved.
    fn push(&self, source: &mut dyn Source) -> bool;
}

/// What gives a connection something to send.
pub trait Source {
    /// The next delivery. Lent: where a thousand connections get the same, counting who holds
    /// it would have the processors wait for each other.
    fn next(&mut self) -> Option<&Delivery>;
}

/// The way from a session to its connection, if that is one that can be pushed to.
#[derive(Clone, Default)]
pub struct Outlet(Arc<OnceLock<Weak<dyn Push>>>);

impl Outlet {
    /// Says which connection it is, once.
    pub fn connect(&self, connection: Weak<dyn Push>) {
        let _ = self.0.set(connection);
    }

    /// Whether there is one.
    #[inline]
    pub fn is_connected(&self) -> bool {
        self.0.get().is_some()
    }

    /// See [`Push::push`].
    #[inline]
    pub fn push(&self, source: &mut dyn Source) -> bool {
        self.0.get().and_then(Weak::upgrade).is_some_and(|connection| connection.push(source))
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("is_connected", &self.is_connected()).finish()
    }
}
