//! Consumers of the change feed, one for each webhook and topic: they deliver the events of all rooms.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use parlance_core::Clock;
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerName, ConsumerTable, LeaseTable, Removed};
use parlance_store::feed::ChangeFeed;
use parlance_stream::consumer::{Error, OnRefused};
use parlance_stream::leased::{LeaseTimes, Leased, Leasing, NotFree, Reader, while_free};
use parlance_stream::log::Log;
use parlance_stream::sink::EventSink;
use parlance_stream::webhook::{Reach, Webhook};
use parlance_stream::{Consumer, Options, Parts};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Seams;
use crate::config::{Endpoint, Topic, Webhooks};
use crate::limits::DISABLE_AFTER;
use crate::planned::Planned;

/// The source of events.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) feed: Arc<dyn ChangeFeed>,
    pub(crate) table: Arc<dyn ConsumerTable>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Leases, if several processes may run the same consumer.
    pub(crate) leases: Option<Arc<dyn LeaseTable>>,
    /// Whether the store was restored, perhaps without the progress of its consumers.
    pub(crate) restored: bool,
}

/// A consumer of this process.
enum Running {
    Always(Arc<Consumer>),
    /// Set while this process holds the lease.
    Leased(Leased),
    /// It cannot run before an operator has done something.
    Never {
        name: ConsumerName,
        why: Error,
    },
}

/// The configured consumers.
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
    // They would share progress and, in a cluster, a lease that each of them believes to hold.
    let mut names = BTreeSet::new();
    if let Some(twice) = planned.iter().find(|planned| !names.insert(&planned.options.name)) {
        bail!("a webhook and the topic are both named {:?}", twice.options.name.as_str());
    }
    Ok(planned)
}

fn webhook(endpoint: Endpoint, clock: &Arc<dyn Clock>) -> Planned {
    let Endpoint { name, url, secrets, reach, start, content, skip_refused } = endpoint;
    let shown = url.to_string();
    if !url.is_encrypted() && reach == Reach::Public {
        tracing::warn!(consumer = %name, to = shown, "events are posted over the internet without encryption: use https");
    }
    // The target only names the kind of sink, so a consumer whose URL changes resumes at its position.
    let options = Options {
        start,
        content,
        on_refused: if skip_refused { OnRefused::Skip } else { OnRefused::Park },
        // Enough for a few posts in sequence.
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
    /// Decides which process reads the feed, where several can.
    reader: Option<Reader>,
    source: Option<Source>,
    /// Name of this process, which no other process ever has.
    owner: String,
    /// Looks whether the sinks can be delivered to.
    _checks: JoinSet<()>,
    end: CancellationToken,
}

/// Why a consumer is not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRemoved {
    #[error(
        "this process is configured with the consumer {0}: take it out of its file and restart all processes that have it"
    )]
    Configured(ConsumerName),
    #[error(transparent)]
    NotFree(#[from] NotFree),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Consumers {
    /// Starts the planned consumers, each at its stored position. `owner` names this process and must be globally
    /// unique over time.
    pub(crate) async fn start(
        planned: Vec<Planned>,
        source: Source,
        owner: &str,
        seams: Seams,
    ) -> anyhow::Result<Self> {
        let end = CancellationToken::new();
        let mut running = Vec::with_capacity(planned.len());
        let mut checks = JoinSet::new();
        let leasing = source.leases.clone().filter(|_| !planned.is_empty()).map(|table| {
            let leasing = Leasing { table, owner: owner.to_owned(), times: LeaseTimes::PRODUCTION };
            let reader = Reader::start(leasing.clone(), end.clone());
            (leasing, reader)
        });
        for Planned { options, sink, shown } in planned {
            let name = options.name.clone();
            checks.spawn(check(name.clone(), sink.clone()));
            // A restart with the consumer still configured re-enables it, unless it was paused by an operator.
            let options = Options { enable: true, restored: source.restored, ..options };
            let parts = (seams.events)(Parts {
                feed: source.feed.clone(),
                table: source.table.clone(),
                log: source.log.clone(),
                sink,
                clock: source.clock.clone(),
            });
            if let Some((leasing, reader)) = &leasing {
                let leased = Leased::start(leasing.clone(), reader, parts, options, end.clone());
                running.push(Running::Leased(leased));
                tracing::info!(consumer = %name, to = shown, "consumer started; waiting for its lease");
                continue;
            }
            let consumer = match Box::pin(Consumer::start(parts, options, end.clone())).await {
                Ok(consumer) => consumer,
                // Its row: neither clients nor other consumers depend on that.
                Err(why @ (Error::NameInUse { .. } | Error::Store(StoreError::Damaged(_)))) => {
                    tracing::error!(consumer = %name, %why, "consumer does not start");
                    if matches!(why, Error::NameInUse { .. }) {
                        metrics::gauge!("parlance_consumer_name_in_use", "consumer" => name.to_string())
                            .set(1.0);
                    }
                    running.push(Running::Never { name, why });
                    continue;
                }
                Err(error) => return Err(error).context(format!("consumer {:?}", name.as_str())),
            };
            running.push(Running::Always(Arc::new(consumer)));
            tracing::info!(consumer = %name, to = shown, "delivering the events of all rooms");
        }
        let reader = leasing.map(|(_, reader)| reader);
        Ok(Self { running, reader, source: Some(source), owner: owner.to_owned(), _checks: checks, end })
    }

    /// Removes a consumer that no process is configured with, and returns what was stored of it.
    pub(crate) async fn remove(&self, name: ConsumerName) -> Result<Option<Removed>, NotRemoved> {
        let Some(source) = &self.source else { return Ok(None) };
        if self.is_configured(name.as_str()) {
            return Err(NotRemoved::Configured(name));
        }
        let removing = source.table.remove_consumer(&name);
        let Some(table) = source.leases.clone() else { return Ok(removing.await?) };
        let leasing = Leasing { table, owner: self.owner.clone(), times: LeaseTimes::PRODUCTION };
        Ok(while_free(leasing, name.clone(), removing).await??)
    }

    /// The source of events, if the store has one.
    pub(crate) fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// The consumer of a name, if it runs here.
    pub(crate) fn running(&self, name: &str) -> Option<Arc<Consumer>> {
        self.running.iter().find_map(|running| match running {
            Running::Always(consumer) => (consumer.name().as_str() == name).then(|| consumer.clone()),
            Running::Leased(leased) => leased.running().filter(|_| leased.name().as_str() == name),
            Running::Never { .. } => None,
        })
    }

    /// Whether this process is configured with a consumer of this name.
    pub(crate) fn is_configured(&self, name: &str) -> bool {
        self.running.iter().any(|running| match running {
            Running::Always(consumer) => consumer.name().as_str() == name,
            Running::Leased(leased) => leased.name().as_str() == name,
            Running::Never { name: never, .. } => never.as_str() == name,
        })
    }

    /// Why this process may not run a consumer, such as that its name is in use for another target.
    pub(crate) fn name_in_use(&self, name: &str) -> Option<Error> {
        self.running.iter().find_map(|running| match running {
            Running::Leased(leased) if leased.name().as_str() == name => leased.name_in_use(),
            Running::Never { name: never, why } if never.as_str() == name => Some(why.clone()),
            _ => None,
        })
    }

    /// Stops all consumers. Deliveries in flight may complete within `deadline`.
    pub(crate) async fn stop(&self, deadline: Duration) {
        self.end.cancel();
        let ended = async {
            for running in &self.running {
                match running {
                    Running::Always(consumer) => consumer.ended().await,
                    Running::Leased(leased) => leased.ended().await,
                    Running::Never { .. } => {}
                }
            }
            if let Some(reader) = &self.reader {
                reader.ended().await;
            }
        };
        if tokio::time::timeout(deadline, ended).await.is_err() {
            tracing::warn!("consumers did not stop in time: deliveries in flight will be repeated");
        }
    }
}

/// Logs what keeps events from leaving before the first one is due.
async fn check(name: ConsumerName, sink: Arc<dyn EventSink>) {
    if let Err(reason) = sink.check().await {
        tracing::warn!(consumer = %name, reason, "events cannot be delivered now");
    }
}

#[cfg(all(test, feature = "kafka"))]
mod tests {
    use async_trait::async_trait;
    use parlance_core::{RoomId, SystemClock};
    use parlance_store::Embedded;
    use parlance_store::consumers::{
        ConsumerState, ConsumerWrite, ListedConsumer, RoomPage, RoomProgress, Wanted,
    };
    use parlance_stream::log::StoreLog;

    use super::*;

    /// A table in which the row of each consumer is damaged.
    struct Damaged;

    fn damaged<T>() -> Result<T, StoreError> {
        Err(StoreError::Damaged("the consumer".to_owned()))
    }

    #[async_trait]
    impl ConsumerTable for Damaged {
        async fn consumers(&self) -> Result<Vec<ListedConsumer>, StoreError> {
            damaged()
        }

        async fn consumer(&self, _: &ConsumerName) -> Result<Option<ConsumerState>, StoreError> {
            damaged()
        }

        async fn progress(
            &self,
            _: &ConsumerName,
            _: &[RoomId],
        ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError> {
            damaged()
        }

        async fn rooms(
            &self,
            _: &ConsumerName,
            _: Wanted,
            _: Option<&RoomId>,
            _: usize,
        ) -> Result<RoomPage, StoreError> {
            damaged()
        }

        async fn write_consumer(&self, _: &ConsumerName, _: ConsumerWrite) -> Result<(), StoreError> {
            damaged()
        }

        async fn remove_consumer(&self, _: &ConsumerName) -> Result<Option<Removed>, StoreError> {
            damaged()
        }
    }

    /// Clients and other consumers do not depend on it.
    #[tokio::test]
    async fn a_damaged_row_of_an_own_consumer_keeps_no_server_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let hooks = dir.path().join("hooks");
        let text = "[[webhook]]\nname = 'billing'\nurl = 'https://192.0.2.1/'\nsecret-file = 'secret'\n";
        std::fs::write(&hooks, text).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let options = parlance_store::Options::default();
        let store = Arc::new(Embedded::open(&dir.path().join("store"), options).unwrap());
        let source = Source {
            feed: store.clone(),
            table: Arc::new(Damaged),
            log: Arc::new(StoreLog(store.clone())),
            clock: clock.clone(),
            leases: None,
            restored: false,
        };
        let planned = planned(Some(&hooks), None, &clock).unwrap();
        let consumers = Consumers::start(planned, source, "this", Seams::default()).await.unwrap();
        assert!(consumers.running("billing").is_none() && consumers.is_configured("billing"));
        let why = consumers.name_in_use("billing").unwrap().to_string();
        assert!(why.contains("damaged"), "{why}");
        consumers.stop(Duration::from_secs(5)).await;
        store.close().await;
    }

    #[tokio::test]
    async fn webhook_and_topic_of_one_name_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        write("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
        let topic = write("topic", "brokers = '127.0.0.1:1'\ntopic = 'events'\npartitions = 12\n");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let plan = |name: &str| {
            let hook = format!(
                "[[webhook]]\nname = '{name}'\nurl = 'https://example.com/'\nsecret-file = 'secret'\n"
            );
            planned(Some(&write("hooks", &hook)), Some(&topic), &clock).map(|planned| planned.len())
        };
        assert_eq!(plan("billing").unwrap(), 2);
        assert!(plan("kafka").unwrap_err().to_string().contains("\"kafka\""));
    }
}
