//! A consumer that runs in one of several processes at a time.
//!
//! The owner renews the lease. Other processes watch it, and acquire it once it has been unchanged for
//! [`LeaseTimes::expiry`] by their own clock: clocks are never compared. The owner stops delivering once its last
//! renewal is older than [`LeaseTimes::safe`], which is shorter. If a process is suspended in between and resumes
//! afterwards, what it had started may be repeated: consumers of events expect duplicates. Progress that it writes
//! then is refused ([`Fence`]).

mod guard;

use std::sync::Arc;
use std::time::Duration;

use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerName, Fence, Lease, LeaseTable};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::guard::Guard;
use crate::consumer::{Consumer, Error, Options, Parts};

/// Timing of leases.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    /// Interval of renewals, and of checks of another owner's lease.
    pub every: Duration,
    /// How long the owner delivers events after a renewal.
    pub safe: Duration,
    /// How long a lease has to be unchanged before another process acquires it.
    pub expiry: Duration,
}

impl LeaseTimes {
    /// A killed worker is replaced within 13 s: its lease expires 9 s after the last renewal that was seen, and renewals
    /// and checks happen every 2 s.
    pub const PRODUCTION: Self =
        Self { every: Duration::from_secs(2), safe: Duration::from_secs(6), expiry: Duration::from_secs(9) };
}

/// A consumer that runs here while this process holds its lease.
pub struct Leased {
    name: ConsumerName,
    running: watch::Receiver<Option<Arc<Consumer>>>,
    task: tokio::task::JoinHandle<()>,
}

/// Parameters for running a consumer under a lease.
pub struct Leasing {
    /// The leases.
    pub table: Arc<dyn LeaseTable>,
    /// Name of this process, which no other process ever has.
    pub owner: String,
    /// Their timing.
    pub times: LeaseTimes,
}

impl Leased {
    /// Runs the consumer whenever this process holds its lease, until `end`. A disabled consumer is enabled.
    pub fn start(leasing: Leasing, parts: Parts, options: Options, end: CancellationToken) -> Self {
        let (sender, running) = watch::channel(None);
        let name = options.name.clone();
        let holder = Holder { leasing, name: name.clone(), parts, options, running: sender };
        Self { name, running, task: tokio::spawn(holder.run(end)) }
    }

    /// Its name.
    pub fn name(&self) -> &ConsumerName {
        &self.name
    }

    /// The consumer, while it runs here.
    pub fn running(&self) -> Option<Arc<Consumer>> {
        self.running.borrow().clone()
    }

    /// Waits until it has stopped here, and the lease is released.
    pub async fn ended(&self) {
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Holder {
    leasing: Leasing,
    name: ConsumerName,
    parts: Parts,
    options: Options,
    running: watch::Sender<Option<Arc<Consumer>>>,
}

impl Holder {
    async fn run(self, end: CancellationToken) {
        while let Some(lease) = end.run_until_cancelled(self.acquire()).await {
            let lease = self.hold(lease, &end).await;
            self.running.send_replace(None);
            match lease {
                Some(lease) => self.release(lease).await,
                None => tracing::warn!(consumer = %self.name, "lost the lease to another process"),
            }
            let _ = end.run_until_cancelled(sleep(self.leasing.times.every)).await;
        }
    }

    /// Waits until nobody else holds the lease, and acquires it.
    async fn acquire(&self) -> (Lease, Instant) {
        let Leasing { table, owner, times } = &self.leasing;
        let mut seen: Option<(Lease, Instant)> = None;
        loop {
            let at = Instant::now();
            match table.lease(&self.name).await {
                Ok(found) => {
                    let is_free = found.as_ref().is_none_or(|lease| lease.owner.is_empty());
                    let is_expired = seen.as_ref().is_some_and(|(lease, since)| {
                        found.as_ref() == Some(lease) && since.elapsed() >= times.expiry
                    });
                    if is_free || is_expired {
                        let renewals = found.as_ref().map_or(0, |lease| lease.renewals) + 1;
                        let own = Lease { owner: owner.clone(), renewals };
                        let at = Instant::now();
                        match table.replace_lease(&self.name, found.as_ref(), &own).await {
                            Ok(true) => return (own, at),
                            Ok(false) => {}
                            Err(error) => self.complain(&error),
                        }
                    } else if seen.as_ref().map(|(lease, _)| lease) != found.as_ref() {
                        seen = found.map(|lease| (lease, at));
                    }
                }
                Err(error) => self.complain(&error),
            }
            sleep(times.every).await;
        }
    }

    /// Runs the consumer until the lease is lost, or `end`. Returns the last state of the lease, unless another
    /// process holds it.
    async fn hold(&self, (mut lease, taken): (Lease, Instant), end: &CancellationToken) -> Option<Lease> {
        let times = self.leasing.times;
        // Before anything is read: later writes of the previous owner are refused.
        let term = lease.renewals;
        if let Err(error) = self.leasing.table.fence(&self.name, Fence { term, write: 0 }).await {
            self.complain(&error);
            return Some(lease);
        }
        let guard = Guard::new(taken, times.safe);
        let parts = guard.over(&self.parts, term);
        let stop = end.child_token();
        let consumer = match Consumer::start(
            parts,
            Options { enable: true, ..self.options.clone() },
            stop.clone(),
        )
        .await
        {
            Ok(consumer) => Arc::new(consumer),
            Err(error) => {
                match error {
                    Error::NameInUse { .. } => tracing::error!(consumer = %self.name, %error, "cannot start"),
                    _ => tracing::warn!(consumer = %self.name, %error, "cannot start, retrying"),
                }
                return Some(lease);
            }
        };
        tracing::info!(consumer = %self.name, "lease acquired, delivering events");
        self.running.send_replace(Some(consumer.clone()));
        let mut is_lost = false;
        loop {
            tokio::select! {
                biased;
                // At the end, or if it has failed: then the next owner of the lease restarts it. While it stops,
                // nobody else may begin.
                () = consumer.ended() => break,
                () = sleep(times.every) => {}
            }
            let at = Instant::now();
            let next = Lease { renewals: lease.renewals + 1, ..lease.clone() };
            let renewing = self.leasing.table.replace_lease(&self.name, Some(&lease), &next);
            match timeout(times.every, renewing).await {
                Ok(Ok(true)) => {
                    lease = next;
                    guard.renewed(at);
                }
                Ok(Ok(false)) => {
                    // A renewal without a timely answer may have been carried out.
                    match self.leasing.table.lease(&self.name).await {
                        Ok(Some(found)) if found.owner == lease.owner => lease = found,
                        Ok(_) => {
                            is_lost = true;
                            guard.lapse();
                            break;
                        }
                        Err(error) => self.complain(&error),
                    }
                }
                Ok(Err(error)) => self.complain(&error),
                Err(_) => {
                    tracing::warn!(consumer = %self.name, "lease not renewed in time, delivery stopped")
                }
            }
        }
        stop.cancel();
        consumer.ended().await;
        (!is_lost).then_some(lease)
    }

    async fn release(&self, lease: Lease) {
        let free = Lease { owner: String::new(), renewals: lease.renewals + 1 };
        let releasing = self.leasing.table.replace_lease(&self.name, Some(&lease), &free);
        if !matches!(timeout(self.leasing.times.every, releasing).await, Ok(Ok(true))) {
            tracing::debug!(consumer = %self.name, "cannot release the lease, leaving it to expire");
        }
    }

    fn complain(&self, error: &StoreError) {
        tracing::warn!(consumer = %self.name, %error, "cannot read or renew the lease");
    }
}
