use std::sync::{Arc, Mutex, PoisonError};

use crate::budget::Budget;
use crate::ledger::{Ledger, Place};

/// Bytes held for one connection, included in those of its user, its address and the process.
#[derive(Debug)]
pub struct Held {
    ledger: Arc<Ledger>,
    budget: Arc<Budget>,
    /// Held while it is recorded whose connection it is.
    claiming: Mutex<()>,
}

impl Held {
    pub(crate) fn new(place: &Place) -> Self {
        let ledger = place.ledger().clone();
        let limit = ledger.limits().held_by_connection;
        let budget = Budget::within(limit, ledger.total().clone(), place.held().cloned());
        Self { ledger, budget, claiming: Mutex::default() }
    }

    /// What they count in.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Records whose connection it is, unless that is known. Returns false if it is one more than they may have at present.
    pub(crate) fn belongs_to(&self, user: &str) -> bool {
        if self.budget.user().is_some() {
            return true;
        }
        let _claiming = self.claiming.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self.ledger.limits().connections_of_user;
        self.budget.of_user(|used| self.ledger.users().add(user, used, most))
    }

    /// Adds bytes that wait.
    pub fn add(&self, bytes: usize) {
        self.budget.add(bytes);
    }

    /// Removes bytes that were sent or dropped.
    pub fn remove(&self, bytes: usize) {
        self.budget.remove(bytes);
    }

    /// Bytes waiting.
    pub fn bytes(&self) -> usize {
        self.budget.held()
    }

    /// Whether the connection holds so much that new requests are refused.
    pub fn is_full(&self) -> bool {
        self.budget.is_full()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connections) = self.budget.user() {
            self.ledger.users().remove(connections, self.budget.numbers());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::budget::tests::now;
    use crate::{Limits, Proxies};

    fn ledger() -> Arc<Ledger> {
        let limits = Limits {
            held_by_connection: 10,
            held_by_user: 15,
            held_by_address: 20,
            held_by_all: 25,
            held_share: 5,
            ..Limits::production(10)
        };
        Ledger::new(limits, Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]))
    }

    /// A connection, which is there until its place is dropped.
    fn connect(ledger: &Arc<Ledger>, address: &str) -> (Place, Held) {
        let place = ledger.connect(address.parse().unwrap()).unwrap();
        let held = Held::new(&place);
        (place, held)
    }

    #[test]
    fn held_bytes_are_released_at_the_end() {
        let ledger = ledger();
        let ((_one, one), (_other, other), (_idle, idle)) =
            (connect(&ledger, "192.0.2.1"), connect(&ledger, "192.0.2.2"), connect(&ledger, "192.0.2.3"));
        one.add(11);
        assert!(one.is_full() && !other.is_full());
        other.add(9);
        assert!(!other.is_full());
        one.add(10);
        idle.add(5);
        assert!(other.is_full() && !idle.is_full() && ledger.is_full(), "not for what others hold");
        drop(one);
        assert!(!other.is_full());
        other.remove(9);
        idle.remove(5);
        assert_eq!(ledger.held(), 0);
    }

    #[test]
    fn what_a_user_holds_on_several_connections_counts_together() {
        let ledger = ledger();
        let connections = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|address| connect(&ledger, address));
        let [(_, one), (_, two), (_, of_another)] = &connections;
        assert!([one, two].iter().all(|held| held.belongs_to("alice")));
        assert!(of_another.belongs_to("bob") && of_another.belongs_to("alice"));
        one.add(8);
        two.add(8);
        of_another.add(6);
        assert!(one.is_full() && two.is_full() && !of_another.is_full() && !ledger.is_full());
        two.remove(4);
        assert!(!one.is_full() && !two.is_full());
        drop(connections);
        assert!(ledger.users().is_empty(), "nobody is left behind");
    }

    #[test]
    fn a_user_has_so_many_connections_and_others_have_theirs() {
        let limits = Limits { connections_of_user: 2, ..Limits::production(10) };
        let ledger = Ledger::new(limits, Proxies::default());
        let connection = || connect(&ledger, "192.0.2.1");
        let ((_a, one), (_b, two), (_c, three)) = (connection(), connection(), connection());
        assert!(one.belongs_to("alice") && two.belongs_to("alice") && two.belongs_to("alice"));
        assert!(!three.belongs_to("alice") && !three.belongs_to("alice"));
        assert!(connection().1.belongs_to("bob"));
        drop(one);
        assert!(three.belongs_to("alice") && three.belongs_to("bob"), "there is room for it again");
        assert!(!connection().1.belongs_to("alice"));
        drop(two);
        assert!(connection().1.belongs_to("alice"));
        drop(three);
        assert!(ledger.users().is_empty());
    }

    #[test]
    fn what_is_held_for_an_address_counts_together_but_not_for_a_proxy() {
        let ledger = ledger();
        let connections =
            ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(|address| connect(&ledger, address));
        let held = |bytes: usize| connections.iter().for_each(|(_, held)| held.add(bytes));
        held(6);
        assert!(connections.iter().all(|(_, held)| !held.is_full()));
        held(1);
        assert!(connections.iter().all(|(_, held)| held.is_full()));
        drop(connections);
        let of_proxy = ["10.0.0.1", "10.0.0.1", "10.0.0.1"].map(|address| connect(&ledger, address));
        of_proxy.iter().for_each(|(_, held)| held.add(7));
        assert!(of_proxy.iter().all(|(_, held)| !held.is_full()));
    }

    /// Each of many connections would have its share otherwise.
    #[tokio::test]
    async fn answers_in_the_making_count_for_their_user_and_their_address() {
        let limits = Limits {
            held_by_connection: 20,
            held_by_user: 25,
            held_by_address: 50,
            held_share: 5,
            ..Limits::production(10)
        };
        let ledger = Ledger::new(limits, Proxies::default());
        let connections = [(); 7].map(|()| connect(&ledger, "192.0.2.1"));
        let reserve = |number: usize| now(pin!(connections[number].1.budget().reserve(10)));
        let of = |user: &str, numbers: std::ops::Range<usize>| {
            assert!(connections[numbers].iter().all(|(_, held)| held.belongs_to(user)));
        };
        of("alice", 0..3);
        of("bob", 3..5);
        let one = (reserve(0).expect("there is room"), reserve(1).expect("there is room"));
        assert!(reserve(2).is_none(), "too much of alice");
        let other = (reserve(3).expect("bob has nothing"), reserve(4).expect("there is room"));
        connections[5].1.add(6);
        connections[6].1.add(5);
        assert_eq!(ledger.held(), 51);
        assert!(connections[5].1.is_full() && !connections[6].1.is_full(), "too much of the address");
        drop(one);
        assert!(reserve(2).is_some() && !connections[5].1.is_full());
        drop(other);
        assert_eq!(ledger.held(), 11);
    }
}
