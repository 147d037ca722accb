use fred::error::Error;

use super::options::ConnectError;
use crate::numbering::Loss;

/// Why messages may have been lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A connection was lost.
    Connection,
    /// The servers of a cluster changed.
    Servers,
    /// The node's own heartbeat does not arrive.
    Unheard,
    /// The lease cannot be renewed: Redis does not answer, or accepts no writes.
    Unanswered,
    /// Redis answers, but later than messages may take.
    Slow,
    /// A registration was gone, or took effect after its caller had stopped waiting.
    Registration,
    /// Messages of other nodes did not arrive, or could not be sent.
    Lost(Loss),
    /// The lease is gone: Redis was wiped, or this node was too late.
    Lease,
    /// The process was paused.
    Paused,
    /// More messages arrived than this process could sort.
    Lag,
    /// More notices arrived than were taken.
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

/// Why an attempt to recover failed.
pub(super) enum Failure {
    Redis(Error),
    Lost(Cause),
    Refused(ConnectError),
}

impl Failure {
    /// Logs the failure of the last of `tries` attempts. In a long outage all are alike: logs the first ones, and
    /// then ever fewer.
    pub(super) fn log(&self, tries: u32) {
        let is_news = tries == 0 || tries.is_power_of_two();
        match self {
            Self::Redis(error) if is_news => {
                tracing::warn!(%error, tries, "cannot use redis, retrying")
            }
            Self::Redis(error) => tracing::debug!(%error, "cannot use redis, retrying"),
            Self::Lost(cause) => tracing::warn!(cause = cause.as_str(), "lost redis again, retrying"),
            Self::Refused(error) => tracing::error!(%error, "redis may not be used"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Redis(error)
    }
}
