use fred::error::Error;

use super::options::ConnectError;
use crate::numbering::Loss;

/// Why messages may have gone missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A connection was lost.
    Connection,
    /// The servers of a cluster changed places.
    Servers,
    /// The own heartbeat does not come back.
    Unheard,
    /// The lease cannot be renewed: Redis does not answer, or takes no writes.
    Unanswered,
    /// Redis answers, but later than a message waits for it.
    Slow,
    /// A registration was gone, or came into effect after its caller had stopped waiting.
    Registration,
    /// Other nodes have sent what did not arrive, or report that they could not.
    Lost(Loss),
    /// The lease is gone: Redis was wiped, or this node too late.
    Lease,
    /// This process did not run for a while.
    Paused,
    /// More messages came than this process could sort.
    Lag,
    /// More notices came than were taken.
    Overflow,
}

impl Cause {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Servers => "servers",
            Self::Unheard => "unheard",
            Self::Unanswered => "unanswered",
            Self::Slow => "slow",
            Self::Registration => "registration",
            Self::Lost(Loss::Gap) => "gap",
            Self::Lost(Loss::Silence) => "silence",
            Self::Lost(Loss::Unpublished) => "unpublished",
            Self::Lost(Loss::Foreign) => "foreign",
            Self::Lease => "lease",
            Self::Paused => "paused",
            Self::Lag => "lag",
            Self::Overflow => "overflow",
        }
    }

    pub(super) fn count(self) {
        metrics::counter!("parlance_registry_recoveries_total", "cause" => self.as_str()).increment(1);
    }
}

/// Why a try to recover came to nothing.
pub(super) enum Failure {
    Redis(Error),
    Lost(Cause),
    Refused(ConnectError),
}

impl Failure {
    /// What came of the last of so many `tries`. In a long outage every one says the same: the first of
    /// them, and ever fewer later ones, are enough.
    pub(super) fn log(&self, tries: u32) {
        let is_news = tries == 0 || tries.is_power_of_two();
        match self {
            Self::Redis(error) if is_news => {
                tracing::warn!(%error, tries, "redis cannot be used, trying again")
            }
            Self::Redis(error) => tracing::debug!(%error, "redis cannot be used, trying again"),
            Self::Lost(cause) => tracing::warn!(cause = cause.as_str(), "redis was lost again, trying again"),
            Self::Refused(error) => tracing::error!(%error, "redis may not be used"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Redis(error)
    }
}
