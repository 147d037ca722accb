use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use crate::Delivery;

/// A connection that accepts frames from any task while its own task is idle: waking that for every delivery costs as
/// much as the delivery.
pub trait Push: Send + Sync {
    /// Sends what `source` returns until it returns nothing more, or the connection is no longer idle. Returns
    /// whether it was idle; if not, `source` was not called.
    ///
    /// Accepted frames are sent, if not at once then by the connection's own task. That task does nothing while
    /// `source` is called, so the session's position may be moved.
    fn push(&self, source: &mut dyn Source) -> bool;
}

/// A source of deliveries for a connection.
pub trait Source {
    /// The next delivery. Borrowed: when a thousand connections get the same frame, reference counting would make the
    /// processors contend.
    fn next(&mut self) -> Option<&Delivery>;
}

/// The path from a session to its connection, if that supports pushing.
#[derive(Clone, Default)]
pub struct Outlet(Arc<OnceLock<Weak<dyn Push>>>);

impl Outlet {
    /// Sets the connection, once.
    pub fn connect(&self, connection: Weak<dyn Push>) {
        let _ = self.0.set(connection);
    }

    /// Whether a connection is set.
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
