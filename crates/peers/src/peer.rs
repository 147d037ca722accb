use std::any::Any;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderMap;

use crate::forwarded::client_address;
use crate::ledger::{Held, Ledger, Place};
use crate::limits::Limits;

/// The other end of one connection. An extension of each request on it.
#[derive(Debug)]
pub struct Peer {
    address: IpAddr,
    is_identified: AtomicBool,
    place: Place,
    held: Held,
    /// The listener's permit, held as long as anything of the connection is left.
    slot: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Peer {
    /// Creates the peer at `address`, counted by `place`.
    pub fn new(address: IpAddr, place: Place) -> Arc<Self> {
        let held = Held::new(place.ledger().clone());
        Arc::new(Self {
            address: address.to_canonical(),
            is_identified: AtomicBool::new(false),
            place,
            held,
            slot: OnceLock::new(),
        })
    }

    /// Keeps `slot` until the connection, and what it was upgraded to, have ended.
    pub fn keep(&self, slot: impl Any + Send + Sync) {
        let _ = self.slot.set(Box::new(slot));
    }

    /// The remote address: a client, or a proxy in front of many.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The client's address: as named by proxies in front of it, if they are the operator's.
    pub fn client(&self, headers: &HeaderMap) -> IpAddr {
        client_address(self.address, headers, self.ledger().proxies())
    }

    /// Records that a request on the connection identified its caller.
    pub fn identify(&self) {
        if !self.is_identified.swap(true, Ordering::Relaxed) {
            self.place.identify();
        }
    }

    /// Whether a caller was identified.
    pub fn is_identified(&self) -> bool {
        self.is_identified.load(Ordering::Relaxed)
    }

    /// Bytes waiting for the peer.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Resources held by all connections.
    pub fn ledger(&self) -> &Ledger {
        self.place.ledger()
    }

    /// Whether it is one of the operator's proxies: one client's behaviour must not be charged to the others.
    pub fn is_proxy(&self) -> bool {
        self.ledger().proxies().contains(self.address)
    }

    /// How long the peer may read nothing of what waits for it. Short if the total limit is exceeded and it holds
    /// more than its share.
    pub fn patience(&self) -> Duration {
        let Limits { stalled, stalled_anonymous, stalled_when_full, held_share, .. } =
            *self.ledger().limits();
        let patience = if self.is_identified() { stalled } else { stalled_anonymous };
        let is_holder = self.held.bytes() > held_share && self.ledger().is_full();
        if is_holder { patience.min(stalled_when_full) } else { patience }
    }
}
