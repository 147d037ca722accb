use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, SharedHttpClient};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use parlance_core::{ClockMonitor, SystemClock};

use super::bounded::bounded;
use super::clock::AnswerDates;
use super::limits::{
    ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, IDLE_TIMEOUT, MAX_ATTEMPTS, OPEN_REQUESTS, OPERATION_TIMEOUT,
    RETRY_FIRST, RETRY_LONGEST,
};
use crate::error::StoreError;

/// AWS variables for the endpoints of the tables and of their streams.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";
const STREAMS_ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB_STREAMS";

/// Location of the tables. Settings not given here come from the usual AWS sources:
/// region, credentials and endpoint from the environment, profiles, web identity, the
/// container or the instance.
#[derive(Debug, Clone)]
pub struct DynamoOptions {
    /// Prefix of the names of all tables.
    pub table_prefix: String,
    /// Overrides the region's endpoint.
    pub endpoint: Option<String>,
    /// Whether the endpoint is an emulator, which accepts any region and any
    /// credentials.
    pub emulator: bool,
    /// Receives time measurements from the service's answers.
    pub clock: Arc<ClockMonitor>,
    /// Requests to the tables that are open at once, each on a connection. Further ones wait.
    pub open_requests: usize,
}

impl Default for DynamoOptions {
    fn default() -> Self {
        Self {
            table_prefix: "parlance_".into(),
            endpoint: None,
            emulator: false,
            clock: Arc::new(ClockMonitor::new(Arc::new(SystemClock))),
            open_requests: OPEN_REQUESTS,
        }
    }
}

impl DynamoOptions {
    /// Options for an emulator at `endpoint`.
    pub fn emulator(endpoint: impl Into<String>) -> Self {
        Self { endpoint: Some(endpoint.into()), emulator: true, ..Self::default() }
    }

    /// Creates the clients of the tables and of their streams. Sends nothing yet.
    pub(super) async fn clients(&self) -> Result<(Client, aws_sdk_dynamodbstreams::Client), StoreError> {
        let retries = RetryConfig::standard()
            .with_max_attempts(MAX_ATTEMPTS)
            .with_initial_backoff(RETRY_FIRST)
            .with_max_backoff(RETRY_LONGEST);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        // Also for credentials, which have nothing to do with the endpoint.
        let secure = https();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(retries)
            .timeout_config(timeouts)
            .http_client(secure.clone());
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if self.emulator {
            loader = loader
                .region(Region::from_static("local"))
                .credentials_provider(Credentials::new("local", "local", None, None, "emulator"));
        }
        let shared = Box::pin(loader.load()).await;
        if shared.region().is_none() {
            return Err(StoreError::Refused("no region: set AWS_REGION".into()));
        }
        let is_plain = shared.endpoint_url().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let http = if is_plain { plain() } else { secure };
        let config = aws_sdk_dynamodb::config::Builder::from(&shared);
        let config = config.http_client(bounded(http.clone(), self.open_requests));
        // As many as there are shards.
        let mut streams = aws_sdk_dynamodbstreams::config::Builder::from(&shared).http_client(http);
        // An emulator serves both at one address.
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let (Some(endpoint), None) = (set(ENDPOINT), set(STREAMS_ENDPOINT)) {
            streams = streams.endpoint_url(endpoint);
        }
        let config = config.interceptor(AnswerDates::new(self.clock.clone()));
        let streams = aws_sdk_dynamodbstreams::Client::from_conf(streams.build());
        Ok((Client::from_conf(config.build()), streams))
    }
}

/// TLS connections: one per concurrent call, pooled.
fn https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// Plain connections, for emulators on this machine.
fn plain() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().pool_idle_timeout(IDLE_TIMEOUT).build_http()
}
