//! Work on a consumer that must not run meanwhile.

use std::future::Future;
use std::pin::pin;

use parlance_store::consumers::{ConsumerName, Lease};
use tokio::time::{Instant, sleep_until};

use super::claim::{Claim, Leasing, Looked, Renewal, Seen};
use crate::limits::FREE_EXPIRIES;

/// Why the work was not done, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFree {
    /// A process holds the lease.
    #[error("process {owner} runs the consumer {name}")]
    Held {
        /// The consumer.
        name: ConsumerName,
        /// The process.
        owner: String,
    },
    /// The leases cannot be read, or another process wants this one at the same time.
    #[error("cannot get the lease of the consumer {0}")]
    Unknown(ConsumerName),
}

/// Does `work` while no process may run the consumer `name`. The lease of a process that was killed is waited for.
///
/// # Errors
/// If a process runs it, or the lease cannot be had.
pub async fn while_free<T>(
    leasing: Leasing,
    name: ConsumerName,
    work: impl Future<Output = T>,
) -> Result<T, NotFree> {
    let claim = Claim { leasing, name };
    let mut lease = acquire(&claim).await?;
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                claim.release(lease).await;
                return Ok(done);
            }
            () = sleep_until(claim.next_time()) => {}
        }
        match claim.renew(lease).await {
            Renewal::Renewed(next) | Renewal::Unknown(next) => lease = next,
            Renewal::Lost => return Err(NotFree::Unknown(claim.name)),
        }
    }
}

async fn acquire(claim: &Claim) -> Result<Lease, NotFree> {
    let deadline = Instant::now() + claim.leasing.times.expiry * FREE_EXPIRIES;
    let (mut seen, mut first): (Option<Seen>, Option<Lease>) = (None, None);
    while Instant::now() < deadline {
        let at = match claim.look(&mut seen, |free_at| free_at).await {
            Looked::Taken(lease, _) => return Ok(lease),
            Looked::Again(at) => at,
        };
        if let Some(lease) =
            seen.as_ref().and_then(|seen| seen.lease.as_ref()).filter(|lease| lease.is_held())
        {
            // A lease that changes is that of a process that lives.
            if first.get_or_insert_with(|| lease.clone()) != lease {
                return Err(NotFree::Held { name: claim.name.clone(), owner: lease.owner.clone() });
            }
        }
        sleep_until(at).await;
    }
    Err(NotFree::Unknown(claim.name.clone()))
}
