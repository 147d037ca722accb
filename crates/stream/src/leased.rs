//! A consumer that runs in one of several processes at a time.
//!
//! The owner renews the lease. Other processes watch it, and acquire it once it has been unchanged for
//! [`LeaseTimes::expiry`] by their own clock: clocks are never compared. The owner stops delivering once its last
//! renewal is older than [`LeaseTimes::safe`], which is shorter. If a process is suspended in between and resumes
//! afterwards, what it had started may be repeated: consumers of events expect duplicates. Progress that it writes
//! then is refused ([`Fence`]).

mod claim;
mod free;
mod guard;
mod reader;

use std::sync::Arc;

use parlance_store::consumers::{ConsumerName, Fence, Lease};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::claim::{Claim, Looked, Renewal, Seen};
use self::guard::Guard;
use self::reader::Standing;
use crate::consumer::{Consumer, Error, Options, Parts};

pub use self::claim::{LeaseTimes, Leasing};
pub use self::free::{NotFree, while_free};
pub use self::reader::Reader;

/// A consumer that runs here while this process holds its lease.
pub struct Leased {
    name: ConsumerName,
    running: watch::Receiver<Option<Arc<Consumer>>>,
    name_in_use: watch::Receiver<Option<Error>>,
    task: tokio::task::JoinHandle<()>,
}

impl Leased {
    /// Runs the consumer whenever this process holds its lease, until `end`. One that is disabled now is enabled.
    pub fn start(
        leasing: Leasing,
        reader: &Reader,
        parts: Parts,
        options: Options,
        end: CancellationToken,
    ) -> Self {
        let (sender, running) = watch::channel(None);
        let (in_use, name_in_use) = watch::channel(None);
        let name = options.name.clone();
        let claim = Claim { leasing, name: name.clone() };
        let standing = reader.standing();
        let holder = Holder {
            claim,
            standing,
            parts,
            options,
            running: sender,
            name_in_use: in_use,
            failures: 0,
            enables: true,
        };
        Self { name, running, name_in_use, task: tokio::spawn(holder.run(end)) }
    }

    /// Its name.
    pub fn name(&self) -> &ConsumerName {
        &self.name
    }

    /// The consumer, while it runs here.
    pub fn running(&self) -> Option<Arc<Consumer>> {
        self.running.borrow().clone()
    }

    /// Why this process may not run it: its name is in use for another target.
    pub fn name_in_use(&self) -> Option<Error> {
        self.name_in_use.borrow().clone()
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
    claim: Claim,
    standing: watch::Receiver<Standing>,
    parts: Parts,
    options: Options,
    running: watch::Sender<Option<Arc<Consumer>>>,
    name_in_use: watch::Sender<Option<Error>>,
    /// How often in a row it did not start here.
    failures: u32,
    /// Whether to enable it: it was disabled when this process began, and has not run here since. Not at each lease that
    /// moves.
    enables: bool,
}

/// How the time of a lease has ended.
enum Held {
    /// The consumer has run.
    Ran(Lease),
    /// It has not started.
    NotStarted(Lease),
    Lost,
}

impl Holder {
    async fn run(mut self, end: CancellationToken) {
        if let Some(Ok(state)) = end.run_until_cancelled(self.parts.table.consumer(&self.claim.name)).await {
            self.enables =
                state.is_some_and(|state| !state.disabled.is_empty() || state.failing_since.is_some());
        }
        while let Some(lease) = end.run_until_cancelled(self.acquire()).await {
            let held = self.hold(lease, &end).await;
            self.running.send_replace(None);
            let mut next = self.claim.next_time();
            match held {
                Held::Ran(lease) => {
                    (self.failures, self.enables) = (0, false);
                    self.claim.release(lease).await;
                }
                Held::NotStarted(lease) => {
                    self.claim.release(lease).await;
                    self.failures += 1;
                    // It may be this process alone that cannot, and the one that takes free consumers first.
                    if self.failures > 1 || self.name_in_use.borrow().is_some() {
                        next += self.claim.leasing.times.step_back;
                    }
                }
                Held::Lost => {
                    (self.failures, self.enables) = (0, false);
                    tracing::warn!(consumer = %self.claim.name, "lost the lease to another process");
                }
            }
            let _ = end.run_until_cancelled(sleep_until(next)).await;
        }
    }

    /// Publishes, and logs once, that the name is in use for another target.
    fn found_in_use(&self, error: Option<Error>) {
        let name = &self.claim.name;
        if let Some(error) = error.as_ref().filter(|error| self.name_in_use.borrow().as_ref() != Some(error))
        {
            tracing::error!(consumer = %name, %error, "this process may not run the consumer; leaving it to others");
        }
        let value = f64::from(u8::from(error.is_some()));
        metrics::gauge!("parlance_consumer_name_in_use", "consumer" => name.to_string()).set(value);
        self.name_in_use.send_replace(error);
    }

    /// Waits until nobody else holds the lease, nor takes it first, and acquires it.
    async fn acquire(&mut self) -> (Lease, Instant) {
        let leave = self.claim.leasing.times.leave;
        let mut seen: Option<Seen> = None;
        loop {
            let standing = *self.standing.borrow_and_update();
            let from = |free_at: Instant| match standing {
                Standing::Reader => free_at,
                // A new reader has as much time as one that was there.
                Standing::Other(since) => free_at.max(since) + leave,
            };
            match self.claim.look(&mut seen, from).await {
                Looked::Taken(lease, at) => return (lease, at),
                Looked::Again(at) => tokio::select! {
                    biased;
                    () = sleep_until(at) => {}
                    Ok(()) = self.standing.changed() => {}
                },
            }
        }
    }

    /// Runs the consumer until the lease is lost, or `end`.
    async fn hold(&self, (mut lease, taken): (Lease, Instant), end: &CancellationToken) -> Held {
        let Claim { leasing, name } = &self.claim;
        // Before anything is read: later writes of the previous owner are refused.
        let term = lease.renewals;
        if let Err(error) = leasing.table.fence(name, Fence { term, write: 0 }).await {
            self.claim.complain(&error);
            return Held::NotStarted(lease);
        }
        let guard = Guard::new(taken, leasing.times.safe);
        let parts = guard.over(&self.parts, term);
        let stop = end.child_token();
        let options = Options { enable: self.enables, ..self.options.clone() };
        let mut starting = Box::pin(Consumer::start(parts, options, stop.clone()));
        // It may take longer than the lease lasts: the end of a feed with many shards, say.
        let started = loop {
            tokio::select! {
                biased;
                started = &mut starting => break started,
                () = end.cancelled() => return Held::NotStarted(lease),
                () = sleep_until(self.claim.next_time()) => {}
            }
            match self.renew(lease, &guard).await {
                Some(renewed) => lease = renewed,
                None => return Held::Lost,
            }
        };
        let consumer = match started {
            Ok(consumer) => Arc::new(consumer),
            Err(error @ Error::NameInUse { .. }) => {
                self.found_in_use(Some(error));
                return Held::NotStarted(lease);
            }
            Err(error) => {
                tracing::warn!(consumer = %name, %error, "cannot start, retrying");
                return Held::NotStarted(lease);
            }
        };
        self.found_in_use(None);
        tracing::info!(consumer = %name, "lease acquired, delivering events");
        self.running.send_replace(Some(consumer.clone()));
        let held = loop {
            tokio::select! {
                biased;
                // At the end, or if it has failed: then the next owner of the lease restarts it. While it stops,
                // nobody else may begin.
                () = consumer.ended() => break Held::Ran(lease),
                () = sleep_until(self.claim.next_time()) => {}
            }
            match self.renew(lease, &guard).await {
                Some(renewed) => lease = renewed,
                None => break Held::Lost,
            }
        };
        stop.cancel();
        consumer.ended().await;
        held
    }

    /// Renews the lease, if it can; `None` once another process holds it.
    async fn renew(&self, lease: Lease, guard: &Guard) -> Option<Lease> {
        let at = Instant::now();
        match self.claim.renew(lease).await {
            Renewal::Renewed(next) => {
                guard.renewed(at);
                Some(next)
            }
            Renewal::Unknown(found) => Some(found),
            Renewal::Lost => {
                guard.lapse();
                None
            }
        }
    }
}
