//! What hands the events of all rooms to others: consumers of the change feed, one for each webhook and topic.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parlance_core::Clock;
use parlance_store::consumers::{ConsumerTable, LeaseTable};
use parlance_store::feed::ChangeFeed;
use parlance_stream::consumer::OnRefused;
use parlance_stream::leased::{LeaseTimes, Leased, Leasing};
use parlance_stream::log::Log;
use parlance_stream::webhook::Webhook;
use parlance_stream::{Consumer, Options, Parts};
use tokio_util::sync::CancellationToken;

use crate::Seams;
use crate::config::{Endpoint, Topic, Webhooks};
use crate::planned::Planned;

/// After how long without a success an endpoint is disabled, until the server is started again.
const DISABLE_AFTER: Duration = Duration::from_secs(5 * 24 * 3_600);

/// Where events come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) feed: Arc<dyn ChangeFeed>,
    pub(crate) table: Arc<dyn ConsumerTable>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where several processes could run the same consumer: which of them does.
    pub(crate) leases: Option<Arc<dyn LeaseTable>>,
}

/// A consumer of this process.
enum Running {
    Always(Arc<Consumer>),
    /// While this process has its lease.
    Leased(Leased),
}

/// What is configured.
pub(crate) fn planned(
    webhooks: Option<&Path>,
    kafka: Option<&Path>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Vec<Planned>> {
    let mut planned = Vec::new();
    if let Some(file) = webhooks {
        planned.extend(Webhooks::read(file)?.endpoints.into_iter().map(|endpoint| webhook(endpoint, clock)));
    }
    if let Some(file) = kafka {
        planned.push(Topic::read(file)?.plan(clock)?);
    }
    Ok(planned)
}

fn webhook(endpoint: Endpoint, clock: &Arc<dyn Clock>) -> Planned {
    let Endpoint { name, url, secrets, reach, start, content, skip_refused } = endpoint;
    let shown = url.to_string();
    // The target names the kind alone: an endpoint that moves goes on where it was.
    let options = Options {
        start,
        content,
        on_refused: if skip_refused { OnRefused::Skip } else { OnRefused::Park },
        // A few posts, one after the other.
        effect_timeout: parlance_stream::webhook::TIMEOUT * 6,
        disable_after: Some(DISABLE_AFTER),
        ..Options::new(name, "webhook")
    };
    Planned { options, sink: Arc::new(Webhook::new(url, secrets, reach, clock.clone())), shown }
}

/// The consumers of a node.
#[derive(Default)]
pub(crate) struct Consumers {
    running: Vec<Running>,
    source: Option<Source>,
    end: CancellationToken,
}

impl Consumers {
    /// Starts what is planned, each where it was. `owner` is this process, by a name that no other one ever has.
    pub(crate) async fn start(
        planned: Vec<Planned>,
        source: Source,
        owner: &str,
        seams: Seams,
    ) -> anyhow::Result<Self> {
        let end = CancellationToken::new();
        let mut running = Vec::with_capacity(planned.len());
        for Planned { options, sink, shown } in planned {
            let name = options.name.clone();
            // Who has it in a file when the server starts wants it to go on, unless it was paused.
            let options = Options { enable: true, ..options };
            let parts = (seams.events)(Parts {
                feed: source.feed.clone(),
                table: source.table.clone(),
                log: source.log.clone(),
                sink,
                clock: source.clock.clone(),
            });
            if let Some(table) = source.leases.clone() {
                let leasing = Leasing { table, owner: owner.to_owned(), times: LeaseTimes::PRODUCTION };
                running.push(Running::Leased(Leased::start(leasing, parts, options, end.clone())));
                tracing::info!(consumer = %name, to = shown, "delivering the events of all rooms, in turn");
                continue;
            }
            let consumer = Box::pin(Consumer::start(parts, options, end.clone())).await;
            let consumer = consumer.with_context(|| format!("consumer {:?}", name.as_str()))?;
            running.push(Running::Always(Arc::new(consumer)));
            tracing::info!(consumer = %name, to = shown, "delivering the events of all rooms");
        }
        Ok(Self { running, source: Some(source), end })
    }

    /// Where events come from; `None` where there are none.
    pub(crate) fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// The consumer of a name, if it runs here.
    pub(crate) fn running(&self, name: &str) -> Option<Arc<Consumer>> {
        self.running.iter().find_map(|running| match running {
            Running::Always(consumer) => (consumer.name().as_str() == name).then(|| consumer.clone()),
            Running::Leased(leased) => leased.running().filter(|_| leased.name().as_str() == name),
        })
    }

    /// Ends them; what is under way may finish, within `deadline`.
    pub(crate) async fn stop(&self, deadline: Duration) {
        self.end.cancel();
        let ended = async {
            for running in &self.running {
                match running {
                    Running::Always(consumer) => consumer.ended().await,
                    Running::Leased(leased) => leased.ended().await,
                }
            }
        };
        if tokio::time::timeout(deadline, ended).await.is_err() {
            tracing::warn!("consumers did not end in time: what they had under way is sent again later");
        }
    }
}
