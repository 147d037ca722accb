//! What hands the events of all rooms to others: one consumer of the change feed for each webhook.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parlance_core::Clock;
use parlance_store::Embedded;
use parlance_stream::consumer::OnRefused;
use parlance_stream::log::StoreLog;
use parlance_stream::webhook::Webhook;
use parlance_stream::{Consumer, Options, Parts};
use tokio_util::sync::CancellationToken;

use crate::config::{Endpoint, Webhooks};

/// After how long without a success an endpoint is disabled, until the server is started again.
const DISABLE_AFTER: Duration = Duration::from_secs(5 * 24 * 3_600);

/// The consumers of a node.
#[derive(Default)]
pub(crate) struct Consumers {
    running: Vec<Consumer>,
    end: CancellationToken,
}

impl Consumers {
    /// Starts a consumer for each of `webhooks`, where it was.
    pub(crate) async fn start(
        webhooks: &Webhooks,
        store: &Arc<Embedded>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let end = CancellationToken::new();
        let mut running = Vec::with_capacity(webhooks.endpoints.len());
        for endpoint in &webhooks.endpoints {
            let consumer = Box::pin(start(endpoint, store, clock, &end)).await;
            let consumer = consumer.with_context(|| format!("webhook {:?}", endpoint.name.as_str()))?;
            // Who has it in the file when the server starts wants it to go on.
            consumer.pause(false).await.context("cannot resume a webhook")?;
            running.push(consumer);
            tracing::info!(consumer = %endpoint.name, url = %endpoint.url, "delivering events to a webhook");
        }
        Ok(Self { running, end })
    }

    /// Ends them; what is under way may finish.
    pub(crate) async fn stop(&self) {
        self.end.cancel();
        for consumer in &self.running {
            consumer.ended().await;
        }
    }
}

async fn start(
    endpoint: &Endpoint,
    store: &Arc<Embedded>,
    clock: &Arc<dyn Clock>,
    end: &CancellationToken,
) -> anyhow::Result<Consumer> {
    let Endpoint { name, url, secrets, reach, start, content, skip_refused } = endpoint;
    let sink = Webhook::new(url.clone(), secrets.clone(), *reach, clock.clone());
    let parts = Parts {
        feed: store.clone(),
        table: store.clone(),
        log: Arc::new(StoreLog(store.clone())),
        sink: Arc::new(sink),
        clock: clock.clone(),
    };
    // The target names the kind alone: an endpoint that moves goes on where it was.
    let options = Options {
        start: *start,
        content: *content,
        on_refused: if *skip_refused { OnRefused::Skip } else { OnRefused::Park },
        // A few posts, one after the other.
        effect_timeout: parlance_stream::webhook::TIMEOUT * 6,
        disable_after: Some(DISABLE_AFTER),
        ..Options::new(name.clone(), "webhook")
    };
    Ok(Consumer::start(parts, options, end.clone()).await?)
}
