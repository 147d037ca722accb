use std::sync::atomic::Ordering;
use std::time::Duration;

use fred::error::{Error, ErrorKind};
use fred::interfaces::FredResult;
use fred::types::Value;
use parlance_core::{ClockOffset, TimeSource};

use super::Shared;
use super::cause::Failure;
use super::link::Link;
use super::nodes::Leases;
use super::options::ConnectError;
use crate::Notice;

/// The leases of a user's nodes, as stored.
pub(super) fn split(leases: &str) -> impl Iterator<Item = &str> {
    leases.split(',').filter(|lease| !lease.is_empty())
}

impl Shared {
    /// The name of this node's lease.
    pub(super) fn lease(&self) -> String {
        match self.leases_lost.load(Ordering::SeqCst) {
            0 => self.node.to_string(),
            lost => format!("{}.{lost}", self.node),
        }
    }

    async fn ask_leases(&self, link: &Link, verb: &'static str) -> FredResult<Leases> {
        let mut args = vec![
            Value::from(verb),
            Value::from(self.lease()),
            Value::Integer(self.options.lease.as_millis() as i64),
            Value::Integer(self.newcomer_wait().as_millis() as i64),
        ];
        for (name, value) in self.fleet.fields() {
            args.extend([Value::from(name), Value::from(value)]);
        }
        let clock = &self.options.clock;
        let sent = clock.uncorrected();
        let answer = link.run(&self.scripts.lease, vec![self.keys.nodes(), self.keys.fleet()], args).await?;
        let leases = Leases::parse(answer);
        if let Some(now) = leases.now {
            if leases.held {
                self.held_at.store(now.0, Ordering::SeqCst);
            }
            let offset = ClockOffset::measure(sent, clock.uncorrected(), now, 1);
            clock.record(TimeSource::Registry, offset);
        }
        for lost in self.nodes.learn(&leases) {
            tracing::info!(node = %lost, "a node is gone");
            self.notices.send(Notice::NodeLost(lost));
        }
        self.ended.send_if_modified(|ended| {
            let new = *ended != leases.ended;
            ended.clone_from(&leases.ended);
            new
        });
        Ok(leases)
    }

    fn newcomer_wait(&self) -> Duration {
        match self.holds_prefix.load(Ordering::SeqCst) {
            true => Duration::ZERO,
            false => self.options.newcomer_wait,
        }
    }

    /// Renews the lease, if it is still held. Returns whether it is.
    ///
    /// If Redis was wiped, takes another one at once, before another fleet does.
    pub(super) async fn renew(&self, link: &Link) -> FredResult<bool> {
        let leases = self.ask_leases(link, "renew").await?;
        let is_wiped = !leases.recorded || !leases.differs.is_empty();
        if !leases.held && is_wiped && self.holds_prefix.load(Ordering::SeqCst) {
            self.leases_lost.fetch_add(1, Ordering::SeqCst);
            self.ask_leases(link, "take").await?;
        }
        Ok(leases.held)
    }

    /// Renews the lease or takes another: others are cleaning up after an ended lease, unless Redis was `wiped`.
    pub(super) async fn take_lease(&self, link: &Link, ever_held: bool, wiped: bool) -> Result<(), Failure> {
        if ever_held {
            let renewed = self.ask_leases(link, "renew").await?;
            if renewed.held {
                self.holds_prefix.store(true, Ordering::SeqCst);
                return Ok(());
            }
            self.leases_lost.fetch_add(1, Ordering::SeqCst);
            // Another node may have been there first after a wipe.
            let wiped = wiped || renewed.claimed.0 > self.held_at.load(Ordering::SeqCst);
            self.swept.fetch_or(!wiped, Ordering::SeqCst);
        }
        let leases = self.ask_leases(link, "take").await?;
        self.refuse(leases.differs)?;
        if !leases.held {
            return Err(Error::new(ErrorKind::Unknown, "the prefix was claimed anew").into());
        }
        self.holds_prefix.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Records the shared settings of this node's fleet; fails if nodes with other settings hold leases. Returns
    /// whether Redis is new, or was wiped.
    pub(super) async fn claim_prefix(&self, link: &Link) -> Result<bool, Failure> {
        let leases = loop {
            let leases = self.ask_leases(link, "claim").await?;
            self.refuse(leases.differs.clone())?;
            if leases.wait.is_zero() {
                break leases;
            }
            tracing::info!(wait = ?leases.wait, "no lease under this prefix, waiting for nodes that may reclaim theirs");
            tokio::time::sleep(leases.wait).await;
        };
        let (key, wanted) = self.keys.layout();
        if leases.recorded {
            // For nodes of earlier versions, which only check this key.
            let args = [key.as_str(), &wanted, "GET"].map(Value::from).to_vec();
            return Ok(link.ask("SET", &key, args).await?.is_null());
        }
        let args = [key.as_str(), &wanted, "NX", "GET"].map(Value::from).to_vec();
        match link.ask("SET", &key, args).await? {
            Value::Null => Ok(true),
            found => {
                let found =
                    found.into_string().ok_or_else(|| Error::new(ErrorKind::Protocol, "no layout"))?;
                if found == wanted {
                    return Ok(false);
                }
                Err(Failure::Refused(ConnectError::Layout { wanted, found }))
            }
        }
    }

    fn refuse(&self, differs: Vec<(String, String)>) -> Result<(), Failure> {
        match self.fleet.refusal(differs, &self.options) {
            Some(refusal) => {
                self.holds_prefix.store(false, Ordering::SeqCst);
                Err(Failure::Refused(refusal))
            }
            None => Ok(()),
        }
    }

    pub(super) async fn leave(&self, link: &Link) -> FredResult<()> {
        self.ask_leases(link, "leave").await.map(drop)
    }

    /// Whether a lease in each of these is held. Queries unknown leases, which may belong to a node that has just
    /// started.
    pub(super) async fn any_alive(&self, link: &Link, kept: &[String]) -> FredResult<Vec<bool>> {
        let known = |leases: &String| self.nodes.any_alive(split(leases));
        let answers: Vec<Option<bool>> = kept.iter().map(known).collect();
        if answers.iter().any(Option::is_none) {
            self.ask_leases(link, "look").await?;
            self.nodes.forget_unknown(kept.iter().flat_map(|leases| split(leases)));
        }
        let again =
            |(leases, answer): (&String, Option<bool>)| answer.or_else(|| known(leases)).unwrap_or(false);
        Ok(kept.iter().zip(answers).map(again).collect())
    }
}
