use std::any::Any;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue};
use parlance_runtime::rate::Bucket;
use tokio::time::Instant;

use crate::budget::{Budget, Charge, ChargedTo, Reservation};
use crate::forwarded::{FORWARDED_FOR, client_address};
use crate::held::Held;
use crate::ledger::{Ledger, Place};
use crate::limits::{LONGEST_WAIT, Limits};

/// The other end of one connection. An extension of each request on it.
#[derive(Debug)]
pub struct Peer {
    address: IpAddr,
    is_identified: AtomicBool,
    place: Place,
    held: Held,
    /// Requests that no other rate counts.
    other_requests: Mutex<Bucket>,
    /// The listener's permit, held as long as anything of the connection is left.
    slot: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Peer {
    /// Creates the peer at `address`, counted by `place`.
    pub fn new(address: IpAddr, place: Place) -> Arc<Self> {
        let held = Held::new(&place);
        Arc::new(Self {
            address: address.to_canonical(),
            is_identified: AtomicBool::new(false),
            place,
            held,
            other_requests: Mutex::default(),
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
        if !self.is_proxy() {
            return self.address;
        }
        client_address(self.address, headers, self.ledger().proxies())
    }

    /// Records that a request on the connection identified its caller.
    pub fn identify(&self) {
        if !self.is_identified.swap(true, Ordering::Relaxed) {
            self.place.identify();
        }
    }

    /// The same, and who that is. What a proxy holds is nobody's: its connections carry many users.
    ///
    /// # Errors
    /// The most connections that the user may have: this is one more, and stays unidentified.
    pub fn identify_as(&self, user: &str) -> Result<(), usize> {
        if self.is_proxy() || self.held.belongs_to(user) {
            self.identify();
            return Ok(());
        }
        metrics::counter!("parlance_limited_total", "limit" => "connections_of_user").increment(1);
        Err(self.ledger().limits().connections_of_user)
    }

    /// Whether a caller was identified.
    pub fn is_identified(&self) -> bool {
        self.is_identified.load(Ordering::Relaxed)
    }

    /// Bytes waiting for the peer.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// What is held for `user` on this connection. Behind a proxy users have their own, since one must not wait for what
    /// another does not read, and those who are not known have one without a limit.
    pub fn budget_of(&self, user: Option<&str>) -> Arc<Budget> {
        match self.is_proxy() {
            false => self.held.budget().clone(),
            true => self.ledger().budget_behind_proxies(user),
        }
    }

    /// Takes from the extensions of an answer what it is charged to, this connection unless they say otherwise, and the room
    /// that was reserved for it.
    pub fn charged(&self, answer: &mut Extensions) -> (Arc<Budget>, Option<Reservation>) {
        let reserved = answer.remove::<Reservation>();
        let named = answer.remove::<ChargedTo>().map(|ChargedTo(budget)| budget);
        let budget = reserved.as_ref().map(|reserved| reserved.budget().clone()).or(named);
        (budget.unwrap_or_else(|| self.held.budget().clone()), reserved)
    }

    /// Charges `bytes` to this connection until the last copy of them is dropped, wherever they wait.
    pub fn charge(&self, bytes: Bytes) -> Bytes {
        self.held.budget().charge(bytes)
    }

    /// Counts `bytes` that are held for this connection until the result is dropped.
    pub fn hold(&self, bytes: usize) -> Charge {
        self.held.budget().hold(bytes)
    }

    /// Resources held by all connections.
    pub fn ledger(&self) -> &Ledger {
        self.place.ledger()
    }

    /// Counts an answer to a request with `headers` that belongs to no caller, against the client's address.
    ///
    /// # Errors
    /// When the next one is allowed.
    pub fn answer(&self, headers: &HeaderMap) -> Result<(), Duration> {
        self.ledger().answer(self.client(headers))
    }

    /// Counts a request of `client` on this connection that no other rate counts. Returns how long its answer has to wait.
    ///
    /// # Errors
    /// Behind a proxy, when the client's next one is allowed: an answer that waits there would keep others waiting.
    pub fn pace(&self, client: IpAddr) -> Result<Duration, Duration> {
        let ledger = self.ledger();
        let paced = match ledger.limits().other_requests_of_connection {
            _ if self.is_proxy() => ledger.check_other(client).map(|()| Duration::ZERO),
            Some(rate) => {
                let mut of_connection = self.other_requests.lock().unwrap_or_else(PoisonError::into_inner);
                let wait = of_connection.owe(rate, 1, LONGEST_WAIT, Instant::now());
                drop(of_connection);
                Ok(wait.max(ledger.owe_other(client)))
            }
            None => Ok(ledger.owe_other(client)),
        };
        if paced != Ok(Duration::ZERO) {
            metrics::counter!("parlance_limited_total", "limit" => "other_requests").increment(1);
        }
        paced
    }

    /// Whether it is one of the operator's proxies: one client's behaviour must not be charged to the others.
    pub fn is_proxy(&self) -> bool {
        self.place.is_of_proxy()
    }

    /// Bytes that the peer must read within its [`patience`](Self::patience) to count as reading.
    pub fn progress(&self, waiting: &Budget) -> usize {
        let limits = self.ledger().limits();
        if waiting.is_hastened() { limits.progress_when_full } else { limits.progress }
    }

    /// How long the peer may read nothing of what waits for it in `waiting`. Short if [`Budget::is_hastened`].
    pub fn patience(&self, waiting: &Budget) -> Duration {
        let Limits { stalled, stalled_anonymous, stalled_when_full, .. } = *self.ledger().limits();
        let patience = if self.is_identified() { stalled } else { stalled_anonymous };
        if waiting.is_hastened() { patience.min(stalled_when_full) } else { patience }
    }
}

/// Replaces the headers in which proxies name addresses by the address of the client behind `peer` alone, so that
/// later readers can trust them. Without a peer, they are removed.
pub fn settle_client(headers: &mut HeaderMap, peer: Option<&Peer>) {
    match peer.map(|peer| peer.client(headers).to_string()).map(HeaderValue::try_from) {
        Some(Ok(address)) => drop(headers.insert(FORWARDED_FOR, address)),
        _ => drop(headers.remove(FORWARDED_FOR)),
    }
}

#[cfg(test)]
mod tests {
    use parlance_runtime::rate::Rate;

    use super::*;
    use crate::limits::UNCHARGED_BYTES;
    use crate::{Proxies, settled_client};

    #[test]
    fn bytes_are_charged_until_the_last_of_them_is_dropped() {
        let ledger = Ledger::new(Limits::production(8), Proxies::default());
        let address = "192.0.2.1".parse().unwrap();
        let peer = Peer::new(address, ledger.connect(address).unwrap());
        let mut bytes = peer.charge(Bytes::from_static(b"an answer"));
        let first = bytes.split_to(2);
        assert_eq!((peer.held().bytes(), ledger.held()), (9, 9));
        drop(bytes);
        assert_eq!((&first[..], ledger.held()), (&b"an"[..], 9));
        drop(first);
        assert_eq!((peer.held().bytes(), ledger.held()), (0, 0));
    }

    #[test]
    fn a_client_of_a_proxy_is_no_proxy() {
        let ledger = Ledger::new(Limits::production(8), Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let address = "10.9.9.9".parse().unwrap();
        let proxy = Peer::new(address, ledger.connect(address).unwrap());
        let client = Peer::new(address, ledger.connect_client(address).unwrap());
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, "198.51.100.7".parse().unwrap());
        assert_eq!((proxy.is_proxy(), client.is_proxy()), (true, false));
        assert_eq!(proxy.client(&headers), "198.51.100.7".parse::<IpAddr>().unwrap());
        assert_eq!(client.client(&headers), address);
        assert_eq!(ledger.anonymous(), 1);
        let (held, of_nobody) = (client.hold(3), proxy.budget_of(None).hold(2));
        assert_eq!((client.budget_of(None).held(), proxy.held().bytes(), ledger.held()), (3, 0, 5));
        drop((held, of_nobody));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_no_other_rate_counts_wait_but_not_behind_proxies() {
        let limits = Limits {
            other_requests: Some(Rate::per_second(20, 10)),
            other_requests_of_connection: Some(Rate::per_second(2, 4)),
            ..Limits::production(8)
        };
        let ledger = Ledger::new(limits, Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let connect = |address: &str| {
            let address = address.parse().unwrap();
            Peer::new(address, ledger.connect(address).unwrap())
        };
        let (one, other, proxy) = (connect("192.0.2.1"), connect("192.0.2.1"), connect("10.0.0.1"));
        let wait = |peer: &Peer, times: usize| {
            (0..times).map(|_| peer.pace(peer.address()).unwrap().as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(wait(&one, 6), [0, 0, 0, 500, 1_000, 1_500], "of the connection");
        assert_eq!(wait(&other, 6), [0, 0, 0, 500, 1_000, 1_500]);
        let third = connect("192.0.2.1");
        assert_eq!(wait(&third, 2), [200, 250], "of the address");
        assert_eq!(wait(&third, 100).last(), Some(&10_000), "nobody waits for longer");
        assert_eq!(wait(&connect("192.0.2.2"), 3), [0, 0, 0]);
        let client = "198.51.100.7".parse().unwrap();
        assert!((0..10).all(|_| proxy.pace(client) == Ok(Duration::ZERO)));
        assert_eq!(proxy.pace(client), Err(Duration::from_millis(50)));
        assert_eq!(proxy.pace("198.51.100.8".parse().unwrap()), Ok(Duration::ZERO));
    }

    /// One user's unread answers hasten nobody else.
    #[test]
    fn behind_a_proxy_each_user_has_a_patience_of_their_own() {
        let limits = Limits { held_by_all: 100, held_share: 5, ..Limits::production(8) };
        let ledger = Ledger::new(limits, Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let address = "10.0.0.1".parse().unwrap();
        let proxy = Peer::new(address, ledger.connect(address).unwrap());
        proxy.identify();
        let [alice, bob, nobody] = [Some("alice"), Some("bob"), None].map(|user| proxy.budget_of(user));
        let _held = (alice.hold(100), bob.hold(1), nobody.hold(10));
        let Limits { stalled, stalled_when_full, progress, progress_when_full, .. } = *ledger.limits();
        let of = |budget: &Budget| (proxy.patience(budget), proxy.progress(budget));
        assert_eq!(of(&alice), (stalled_when_full, progress_when_full));
        assert_eq!((of(&bob), of(&nobody)), ((stalled, progress), (stalled, progress)));
    }

    /// Many connections of their share each could hold all that there is.
    #[test]
    fn who_holds_anything_is_hastened_while_the_process_holds_the_most() {
        const HELD: usize = UNCHARGED_BYTES + 1;
        let limits = Limits {
            held_by_all: 4 * HELD,
            held_by_address: 3 * HELD,
            held_share: HELD,
            held_at_most: 6 * HELD,
            ..Limits::production(8)
        };
        let ledger = Ledger::new(limits, Proxies::default());
        let connect = |address: &str| {
            let address = address.parse().unwrap();
            let peer = Peer::new(address, ledger.connect(address).unwrap());
            peer.identify();
            peer
        };
        let Limits { stalled, stalled_when_full, .. } = *ledger.limits();
        let patience = |peer: &Arc<Peer>| peer.patience(peer.held().budget());
        let of_one: Vec<_> = (0..4).map(|_| connect("192.0.2.1")).collect();
        let others = ["192.0.2.2", "192.0.2.3", "192.0.2.4"].map(connect);
        let all = of_one.iter().chain(&others);
        let mut held: Vec<_> = of_one.iter().map(|peer| peer.hold(HELD)).collect();
        assert!(all.clone().all(|peer| patience(peer) == stalled), "there is room");
        held.push(others[0].hold(HELD));
        assert!(of_one.iter().all(|peer| patience(peer) == stalled_when_full), "of an address");
        assert!(others.iter().all(|peer| patience(peer) == stalled));
        held.extend(others[1..].iter().map(|peer| peer.hold(HELD)));
        assert!(all.clone().all(|peer| patience(peer) == stalled_when_full), "of the process");
        drop(held.split_off(1));
        let _little = others[0].hold(UNCHARGED_BYTES);
        let most = of_one[0].hold(6 * HELD);
        assert_eq!(patience(&others[0]), stalled, "it holds little");
        drop(most);
        assert_eq!(patience(&of_one[0]), stalled);
    }

    #[test]
    fn settled_header_names_the_client_alone() {
        let ledger = Ledger::new(Limits::production(8), Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let peer = |address: &str| {
            let address = address.parse().unwrap();
            Peer::new(address, ledger.connect(address).unwrap())
        };
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, "1.1.1.1".parse().unwrap());
        headers.append(FORWARDED_FOR, "198.51.100.7".parse().unwrap());
        let mut direct = headers.clone();
        settle_client(&mut headers, Some(&peer("10.0.0.1")));
        assert_eq!(settled_client(&headers), Some("198.51.100.7".parse().unwrap()));
        assert_eq!(headers.get_all(FORWARDED_FOR).iter().count(), 1);
        settle_client(&mut direct, Some(&peer("192.0.2.1")));
        assert_eq!(settled_client(&direct), Some("192.0.2.1".parse().unwrap()));
        settle_client(&mut direct, None);
        assert_eq!(settled_client(&direct), None);
    }
}
