use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use parlance_runtime::rate::Keyed;

use crate::budget::Budget;
use crate::limits::{IPV6_PREFIX, LONGEST_WAIT, Limits};
use crate::proxies::Proxies;
use crate::total::Total;
use crate::users::Users;

/// Resources held by all connections of the process.
#[derive(Debug)]
pub struct Ledger {
    limits: Limits,
    proxies: Proxies,
    /// Bytes that are held for peers.
    total: Arc<Total>,
    /// The connections of each user.
    users: Users,
    /// What is held for users behind proxies.
    behind_proxies: Mutex<HashMap<String, Weak<Budget>>>,
    /// What is held for those behind proxies who are not known.
    nobodys: Arc<Budget>,
    /// Unauthenticated connections, without those of proxies.
    anonymous: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, Address>>,
    /// Answers that belong to no caller, by address.
    answers: Option<Keyed<IpAddr>>,
    /// Requests that no other rate counts, by address.
    other_requests: Option<Keyed<IpAddr>>,
}

/// The connections of one address.
#[derive(Debug, Default)]
struct Address {
    connections: usize,
    anonymous: usize,
    /// Bytes that are held for it.
    held: Arc<AtomicUsize>,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The address has reached its limit.
    Connections,
    /// The address has reached its limit of unauthenticated connections.
    Anonymous,
}

impl Refused {
    /// A label for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections_of_address",
            Self::Anonymous => "anonymous_connections",
        }
    }
}

impl Ledger {
    /// An empty ledger. Connections of `proxies` carry many clients and have no limit per address.
    pub fn new(limits: Limits, proxies: Proxies) -> Arc<Self> {
        let total = Total::new(&limits);
        Self::within(total, limits, proxies)
    }

    /// The ledger of another listener: what is held for its connections counts in the total of this one.
    pub fn beside(&self, limits: Limits, proxies: Proxies) -> Arc<Self> {
        Self::within(self.total.clone(), limits, proxies)
    }

    fn within(total: Arc<Total>, limits: Limits, proxies: Proxies) -> Arc<Self> {
        Arc::new(Self {
            proxies,
            users: Users::default(),
            behind_proxies: Mutex::default(),
            nobodys: Budget::of_nobody(total.clone()),
            total,
            anonymous: AtomicUsize::new(0),
            addresses: Mutex::default(),
            answers: limits.anonymous_answers.map(Keyed::new),
            other_requests: limits.other_requests.map(Keyed::new),
            limits,
        })
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The operator's proxies.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// Bytes that are held for peers, and reserved for answers to them.
    pub fn held(&self) -> usize {
        self.total.used()
    }

    pub(crate) fn total(&self) -> &Arc<Total> {
        &self.total
    }

    /// What is held for `user`, whose connections are a proxy's; without one, for all who are not known.
    pub(crate) fn budget_behind_proxies(&self, user: Option<&str>) -> Arc<Budget> {
        let Some(user) = user else { return self.nobodys.clone() };
        let mut users = self.behind_proxies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = users.get(user).and_then(Weak::upgrade) {
            return budget;
        }
        let budget = Budget::within(self.limits.held_behind_proxies, self.total.clone(), None);
        users.insert(user.to_owned(), Arc::downgrade(&budget));
        budget
    }

    pub(crate) fn users(&self) -> &Users {
        &self.users
    }

    /// Whether the limit on held bytes is exceeded.
    pub fn is_full(&self) -> bool {
        self.total.is_full()
    }

    /// The number of unauthenticated connections.
    pub fn anonymous(&self) -> usize {
        self.anonymous.load(Ordering::Relaxed)
    }

    /// How long a connection may stay unauthenticated at present.
    fn anonymous_age(&self) -> Duration {
        let is_crowded = self.anonymous() > self.limits.anonymous_in_all;
        if is_crowded { self.crowded_age() } else { self.limits.anonymous_age }
    }

    fn crowded_age(&self) -> Duration {
        self.limits.anonymous_age.min(self.limits.anonymous_age_when_crowded)
    }

    /// When to look again at a connection that has been unauthenticated for `elapsed`, since many others may have
    /// arrived by then. Zero: its time is over.
    pub fn anonymous_rest(&self, elapsed: Duration) -> Duration {
        self.anonymous_age().saturating_sub(elapsed).min(self.crowded_age())
    }

    /// Counts an answer to `address` that belongs to no caller.
    ///
    /// # Errors
    /// When the next one is allowed.
    pub fn answer(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(answers) = &self.answers else { return Ok(()) };
        answers.take(&counted_as(address)).inspect_err(|_| {
            metrics::counter!("parlance_limited_total", "limit" => "anonymous_answers").increment(1);
        })
    }

    /// Counts a request of `address` that no other rate counts.
    ///
    /// # Errors
    /// When the next one is allowed.
    pub(crate) fn check_other(&self, address: IpAddr) -> Result<(), Duration> {
        self.other_requests.as_ref().map_or(Ok(()), |requests| requests.take(&counted_as(address)))
    }

    /// The same, whether or not it is allowed. Returns how long its answer has to wait.
    pub(crate) fn owe_other(&self, address: IpAddr) -> Duration {
        let Some(requests) = &self.other_requests else { return Duration::ZERO };
        requests.owe(&counted_as(address), 1, LONGEST_WAIT)
    }

    /// Forgets addresses that were not answered for a while, and users for whom nothing is held.
    pub fn trim(&self) {
        let mut users = self.behind_proxies.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, budget| budget.strong_count() > 0);
        drop(users);
        self.answers.iter().chain(&self.other_requests).for_each(Keyed::trim);
    }

    /// The number of addresses with connections.
    pub fn addresses(&self) -> usize {
        self.lock().len()
    }

    /// Admits a connection from `address`.
    ///
    /// # Errors
    /// The address has reached a limit.
    pub fn connect(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refused> {
        if self.proxies.contains(address) {
            let (ledger, held) = (self.clone(), None);
            return Ok(Place { ledger, address: None, held, is_anonymous: Mutex::new(false) });
        }
        self.connect_client(address)
    }

    /// Admits a connection that a proxy forwards for the client at `address`, who is no proxy, whatever the address.
    ///
    /// # Errors
    /// The address has reached a limit.
    pub fn connect_client(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refused> {
        let address = counted_as(address);
        let mut addresses = self.lock();
        let counted = addresses.entry(address).or_default();
        let refused = if counted.connections >= self.limits.connections_of_address {
            Some(Refused::Connections)
        } else if counted.anonymous >= self.limits.anonymous_connections {
            Some(Refused::Anonymous)
        } else {
            None
        };
        if let Some(refused) = refused {
            metrics::counter!("parlance_refused_connections_total", "reason" => refused.label()).increment(1);
            return Err(refused);
        }
        counted.connections += 1;
        counted.anonymous += 1;
        let held = Some(counted.held.clone());
        self.anonymous.fetch_add(1, Ordering::Relaxed);
        let (ledger, address) = (self.clone(), Some(address));
        Ok(Place { ledger, address, held, is_anonymous: Mutex::new(true) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Address>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, address: IpAddr, connections: usize, anonymous: usize) {
        self.anonymous.fetch_sub(anonymous, Ordering::Relaxed);
        let mut addresses = self.lock();
        let Some(counted) = addresses.get_mut(&address) else { return };
        counted.connections = counted.connections.saturating_sub(connections);
        counted.anonymous = counted.anonymous.saturating_sub(anonymous);
        if counted.connections == 0 {
            addresses.remove(&address);
        }
    }
}

/// The key that an address is counted under: itself, or for IPv6 its network.
pub fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (128 - IPV6_PREFIX);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        address => address,
    }
}

/// A counted connection, until this is dropped.
#[derive(Debug)]
pub struct Place {
    ledger: Arc<Ledger>,
    /// `None` for one of the operator's proxies: it is not counted.
    address: Option<IpAddr>,
    /// Bytes held for the address.
    held: Option<Arc<AtomicUsize>>,
    is_anonymous: Mutex<bool>,
}

impl Place {
    /// Records that a caller was identified.
    pub(crate) fn identify(&self) {
        let mut is_anonymous = self.is_anonymous.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *is_anonymous)
            && let Some(address) = self.address
        {
            self.ledger.release(address, 0, 1);
        }
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub(crate) fn held(&self) -> Option<&Arc<AtomicUsize>> {
        self.held.as_ref()
    }

    pub(crate) fn is_of_proxy(&self) -> bool {
        self.address.is_none()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let is_anonymous = *self.is_anonymous.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = self.address {
            self.ledger.release(address, 1, usize::from(is_anonymous));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Arc<Ledger> {
        let limits = Limits { anonymous_connections: 2, connections_of_address: 3, ..Limits::production(10) };
        Ledger::new(limits, Proxies::default())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn unauthenticated_connections_per_address_are_limited() {
        let (ledger, one) = (ledger(), address("10.0.0.1"));
        let first = ledger.connect(one).unwrap();
        let _second = ledger.connect(one).unwrap();
        assert_eq!(ledger.connect(one).unwrap_err(), Refused::Anonymous);
        first.identify();
        first.identify();
        let third = ledger.connect(one).unwrap();
        third.identify();
        assert_eq!(ledger.connect(one).unwrap_err(), Refused::Connections);
        let _other = ledger.connect(address("10.0.0.2")).unwrap();
        drop(first);
        assert!(ledger.connect(one).is_ok());
    }

    #[test]
    fn unauthenticated_connections_of_many_addresses_have_less_time() {
        let limits = Limits { anonymous_in_all: 2, ..Limits::production(10) };
        let (long, short) = (limits.anonymous_age, limits.anonymous_age_when_crowded);
        let ledger = Ledger::new(limits, Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let connect = |text: &str| ledger.connect(address(text)).unwrap();
        let (one, _two, _of_proxy) = (connect("192.0.2.1"), connect("192.0.2.2"), connect("10.0.0.1"));
        assert_eq!(ledger.anonymous_age(), long);
        let three = connect("192.0.2.3");
        assert_eq!(ledger.anonymous_age(), short);
        one.identify();
        assert_eq!((ledger.anonymous_age(), ledger.anonymous()), (long, 2));
        drop((one, three));
        assert_eq!(ledger.anonymous(), 1);
    }

    #[test]
    fn answers_that_belong_to_nobody_have_a_rate_per_address() {
        let rate = Some(parlance_runtime::rate::Rate::every(Duration::from_secs(60), 2));
        let limits = Limits { anonymous_answers: rate, ..Limits::production(10) };
        let ledger = Ledger::new(limits, Proxies::default());
        let answered = |text: &str| ledger.answer(address(text)).is_ok();
        assert_eq!(["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(answered), [true, true, false]);
        assert!(answered("10.0.0.1"));
        assert!((0..100).all(|_| self::ledger().answer(address("10.0.0.1")).is_ok()), "no limit");
    }

    #[test]
    fn addresses_without_connections_are_forgotten() {
        let ledger = ledger();
        let place = ledger.connect(address("10.0.0.1")).unwrap();
        place.identify();
        assert_eq!(ledger.addresses(), 1);
        drop(place);
        assert_eq!(ledger.addresses(), 0);
    }

    #[test]
    fn users_behind_proxies_are_forgotten_and_listeners_have_one_total() {
        let clients = ledger();
        let bridges = clients.beside(Limits::production(10), Proxies::everyone());
        let budget = bridges.budget_behind_proxies(Some("alice"));
        let held = budget.hold(7);
        assert_eq!((clients.held(), bridges.held()), (7, 7));
        bridges.trim();
        assert_eq!(bridges.budget_behind_proxies(Some("alice")).held(), 7);
        drop((held, budget));
        bridges.trim();
        assert!(bridges.behind_proxies.lock().unwrap().is_empty());
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_count_together() {
        assert_eq!(counted_as(address("2001:db8::1:2:3:4")), counted_as(address("2001:db8::ffff")));
        assert_ne!(counted_as(address("2001:db8::1")), counted_as(address("2001:db8:0:1::1")));
        assert_eq!(counted_as(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }
}
