use std::sync::atomic::Ordering;

use fred::error::{Error, ErrorKind};
use fred::interfaces::FredResult;
use fred::types::Value;
use parlance_core::{ClockOffset, TimeSource};

use super::Shared;
use super::link::Link;
use super::nodes::Leases;
use crate::Notice;

/// The leases of the nodes where a user is, as they are kept.
pub(super) fn split(leases: &str) -> impl Iterator<Item = &str> {
    leases.split(',').filter(|lease| !lease.is_empty())
}

/// How users are kept in Redis.
pub(super) enum Layout {
    /// There was none: Redis is new, or was wiped.
    New,
    Same,
    Differs {
        wanted: String,
        found: String,
    },
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
        let args = vec![
            Value::from(verb),
            Value::from(self.lease()),
            Value::Integer(self.options.lease.as_millis() as i64),
        ];
        let clock = &self.options.clock;
        let sent = clock.uncorrected();
        let answer = link.run(&self.scripts.lease, vec![self.keys.nodes()], args).await?;
        let leases = Leases::parse(answer);
        if let Some(now) = leases.now {
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

    /// Renews the lease, if it is still held. Returns whether it is.
    pub(super) async fn renew(&self, link: &Link) -> FredResult<bool> {
        Ok(self.ask_leases(link, "renew").await?.held)
    }

    /// Renews the lease or takes another: what is kept under one that ended is being
    /// cleared up by others, unless Redis was `wiped`.
    pub(super) async fn take_lease(&self, link: &Link, ever_held: bool, wiped: bool) -> FredResult<()> {
        if ever_held {
            if self.renew(link).await? {
                return Ok(());
            }
            self.leases_lost.fetch_add(1, Ordering::SeqCst);
            self.swept.fetch_or(!wiped, Ordering::SeqCst);
        }
        self.ask_leases(link, "take").await.map(drop)
    }

    pub(super) async fn leave(&self, link: &Link) -> FredResult<()> {
        self.ask_leases(link, "leave").await.map(drop)
    }

    /// Whether a lease in each of these is held. Asks about those that nobody has heard of:
    /// of a node that has just started.
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

    /// Says how this node keeps users, if nobody has said so.
    pub(super) async fn settle_layout(&self, link: &Link) -> FredResult<Layout> {
        let (key, wanted) = self.keys.layout();
        let args = [key.as_str(), &wanted, "NX", "GET"].map(Value::from).to_vec();
        match link.ask("SET", &key, args).await? {
            Value::Null => Ok(Layout::New),
            found => {
                let found =
                    found.into_string().ok_or_else(|| Error::new(ErrorKind::Protocol, "no layout"))?;
                Ok(if found == wanted { Layout::Same } else { Layout::Differs { wanted, found } })
            }
        }
    }
}
