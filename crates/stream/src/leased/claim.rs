//! The claim of one process on one lease.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::Backoff;
use parlance_runtime::random;
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerName, Lease, LeaseTable};
use tokio::time::{Instant, timeout};

/// Timing of leases.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    /// Longest interval of renewals, and of checks of another owner's lease; the shortest is half of it.
    pub every: Duration,
    /// How long the owner delivers events after a renewal.
    pub safe: Duration,
    /// How long a lease has to be unchanged before another process acquires it.
    pub expiry: Duration,
    /// How long a free consumer is left to the process that reads the feed. Longer than its checks take.
    pub leave: Duration,
    /// How long a process that may not run a consumer, or fails to start it, leaves it to others: longer than those wait
    /// that do not read the feed.
    pub step_back: Duration,
}

impl LeaseTimes {
    /// A killed worker is replaced within 13 s, or 15 s if the process that reads the feed does not have its consumers: its
    /// lease expires 9 s after the last renewal that was seen, and renewals and checks happen every 2 s at most.
    pub const PRODUCTION: Self = Self {
        every: Duration::from_secs(2),
        safe: Duration::from_secs(6),
        expiry: Duration::from_secs(9),
        leave: Duration::from_secs(3),
        step_back: Duration::from_secs(30),
    };
}

/// What a process needs to hold leases.
#[derive(Clone)]
pub struct Leasing {
    /// The leases.
    pub table: Arc<dyn LeaseTable>,
    /// Name of this process, which no other process ever has.
    pub owner: String,
    /// Their timing.
    pub times: LeaseTimes,
}

/// A lease that this process holds, or wants to hold.
pub(super) struct Claim {
    pub(super) leasing: Leasing,
    pub(super) name: ConsumerName,
}

/// A lease as last read, and since when it has been like that.
pub(super) struct Seen {
    pub(super) lease: Option<Lease>,
    since: Instant,
}

impl Seen {
    /// When the lease became, or becomes, free to be taken.
    fn free_at(&self, expiry: Duration) -> Instant {
        let is_held = self.lease.as_ref().is_some_and(Lease::is_held);
        if is_held { self.since + expiry } else { self.since }
    }
}

/// The result of one look at a lease of others.
pub(super) enum Looked {
    /// Acquired at this time.
    Taken(Lease, Instant),
    /// To look again at this time.
    Again(Instant),
}

/// The result of a renewal.
pub(super) enum Renewal {
    Renewed(Lease),
    /// Another process holds the lease.
    Lost,
    /// The lease as far as is known.
    Unknown(Lease),
}

impl Claim {
    /// When to look at the lease, or renew it, the next time. Processes that were started together do not stay in step.
    pub(super) fn next_time(&self) -> Instant {
        let every = Backoff { first: self.leasing.times.every, longest: self.leasing.times.every };
        Instant::now() + every.jittered(1, random::bits())
    }

    /// Looks at the lease, and acquires it if it is free. `from` says from when on this process may take a lease that
    /// became free at a time.
    pub(super) async fn look(&self, seen: &mut Option<Seen>, from: impl Fn(Instant) -> Instant) -> Looked {
        let Leasing { table, owner, times } = &self.leasing;
        let at = Instant::now();
        let found = match table.lease(&self.name).await {
            Ok(found) => found,
            Err(error) => {
                self.complain(&error);
                return Looked::Again(self.next_time());
            }
        };
        let seen = match seen {
            Some(seen) if seen.lease == found => seen,
            _ => seen.insert(Seen { lease: found, since: at }),
        };
        let from = from(seen.free_at(times.expiry));
        let at = Instant::now();
        if at < from {
            return Looked::Again(self.next_time().min(from));
        }
        let renewals = seen.lease.as_ref().map_or(0, |lease| lease.renewals) + 1;
        let own = Lease { owner: owner.clone(), renewals };
        match table.replace_lease(&self.name, seen.lease.as_ref(), &own).await {
            Ok(true) => return Looked::Taken(own, at),
            Ok(false) => {}
            Err(error) => self.complain(&error),
        }
        Looked::Again(self.next_time())
    }

    /// Renews the lease.
    pub(super) async fn renew(&self, lease: Lease) -> Renewal {
        let Leasing { table, times, .. } = &self.leasing;
        let next = Lease { renewals: lease.renewals + 1, ..lease.clone() };
        match timeout(times.every, table.replace_lease(&self.name, Some(&lease), &next)).await {
            Ok(Ok(true)) => Renewal::Renewed(next),
            // A renewal without a timely answer may have been carried out.
            Ok(Ok(false)) => match table.lease(&self.name).await {
                Ok(Some(found)) if found.owner == lease.owner => Renewal::Unknown(found),
                Ok(_) => Renewal::Lost,
                Err(error) => {
                    self.complain(&error);
                    Renewal::Unknown(lease)
                }
            },
            Ok(Err(error)) => {
                self.complain(&error);
                Renewal::Unknown(lease)
            }
            Err(_) => {
                tracing::warn!(lease = %self.name, "lease not renewed in time, delivery stopped");
                Renewal::Unknown(lease)
            }
        }
    }

    pub(super) async fn release(&self, lease: Lease) {
        let free = Lease { owner: String::new(), renewals: lease.renewals + 1 };
        let releasing = self.leasing.table.replace_lease(&self.name, Some(&lease), &free);
        if !matches!(timeout(self.leasing.times.every, releasing).await, Ok(Ok(true))) {
            tracing::debug!(lease = %self.name, "cannot release the lease, leaving it to expire");
        }
    }

    pub(super) fn complain(&self, error: &StoreError) {
        tracing::warn!(lease = %self.name, %error, "cannot read or renew the lease");
    }
}
