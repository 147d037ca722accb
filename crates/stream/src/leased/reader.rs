//! Which of several processes reads the feed.
//!
//! A process that runs one consumer may run all others as well: the feed is then read once for all of them. So one
//! process holds a lease for this, and takes free consumers at once; the others leave it time for that. They take what
//! it leaves: a consumer that only they are configured with.

use parlance_store::consumers::{ConsumerName, Lease};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::claim::{Claim, Leasing, Looked, Renewal, Seen};

/// Whether a process is the one that reads the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is.
    Reader,
    /// Another one has been since this time, or none is known.
    Other(Instant),
}

/// The part of a process in reading the feed.
pub struct Reader {
    standing: watch::Receiver<Standing>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Applies for reading the feed, until `end`.
    pub fn start(leasing: Leasing, end: CancellationToken) -> Self {
        let (sender, standing) = watch::channel(Standing::Other(Instant::now()));
        let claim = Claim { leasing, name: ConsumerName::of_the_reader() };
        let task = tokio::spawn(async move {
            while let Some(lease) = end.run_until_cancelled(acquire(&claim, &sender)).await {
                sender.send_replace(Standing::Reader);
                let lease = hold(&claim, lease, &end).await;
                sender.send_replace(Standing::Other(Instant::now()));
                if let Some(lease) = lease {
                    claim.release(lease).await;
                }
            }
        });
        Self { standing, task }
    }

    /// Waits until it has stopped, and the lease is released.
    pub async fn ended(&self) {
        let mut standing = self.standing.clone();
        while standing.changed().await.is_ok() {}
    }

    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn acquire(claim: &Claim, standing: &watch::Sender<Standing>) -> Lease {
    let mut seen: Option<Seen> = None;
    let mut owner = None;
    loop {
        match claim.look(&mut seen, |free_at| free_at).await {
            Looked::Taken(lease, _) => return lease,
            Looked::Again(at) => {
                let found = seen.as_ref().and_then(|seen| seen.lease.as_ref());
                let found = found.map(|lease| lease.owner.clone());
                if found != owner {
                    owner = found;
                    standing.send_replace(Standing::Other(Instant::now()));
                }
                sleep_until(at).await;
            }
        }
    }
}

/// Holds the lease until it is lost, or `end`. Returns its last state, unless another process holds it.
async fn hold(claim: &Claim, mut lease: Lease, end: &CancellationToken) -> Option<Lease> {
    while end.run_until_cancelled(sleep_until(claim.next_time())).await.is_some() {
        match claim.renew(lease).await {
            Renewal::Renewed(next) | Renewal::Unknown(next) => lease = next,
            Renewal::Lost => return None,
        }
    }
    Some(lease)
}
