use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, SharedHttpClient};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use parlance_core::{ClockMonitor, SystemClock};

use super::clock::AnswerDates;
use super::limits::{
    ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, IDLE_TIMEOUT, MAX_ATTEMPTS, OPERATION_TIMEOUT, RETRY_FIRST,
    RETRY_LONGEST,
};
use crate::error::StoreError;

/// Settings of AWS for the endpoints of the tables and of their streams.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";
const STREAMS_ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB_STREAMS";

/// Where the tables are. What is not given here comes from the usual AWS settings:
/// region, credentials and endpoint from the environment, profiles, web identity, the
/// container or the instance.
#[derive(Debug, Clone)]
pub struct DynamoOptions {
    /// What the names of all tables begin with.
    pub table_prefix: String,
    /// Another endpoint than the region's.
    pub endpoint: Option<String>,
    /// The endpoint is an emulator, which takes any region and any credentials.
    pub emulator: bool,
    /// Told what time it is by the service.
    pub clock: Arc<ClockMonitor>,
}

impl Default for DynamoOptions {
    fn default() -> Self {
        Self {
            table_prefix: "parlance_".into(),
            endpoint: None,
            emulator: false,
            clock: Arc::new(ClockMonitor::new(Arc::new(SystemClock))),
        }
    }
}

impl DynamoOptions {
    /// An emulator at `endpoint`.
    pub fn emulator(endpoint: impl Into<String>) -> Self {
        Self { endpoint: Some(endpoint.into()), emulator: true, ..Self::default() }
    }

    /// The clients of the tables and of their streams. Nothing is sent yet.
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
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(retries)
            .timeout_config(timeouts)
            .http_client(https());
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
        let mut config = aws_sdk_dynamodb::config::Builder::from(&shared);
        let mut streams = aws_sdk_dynamodbstreams::config::Builder::from(&shared);
        if shared.endpoint_url().is_some_and(|endpoint| endpoint.starts_with("http://")) {
            let plain = plain();
            config = config.http_client(plain.clone());
            streams = streams.http_client(plain);
        }
        // An emulator answers for both at one address.
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let (Some(endpoint), None) = (set(ENDPOINT), set(STREAMS_ENDPOINT)) {
            streams = streams.endpoint_url(endpoint);
        }
        config = config.interceptor(AnswerDates::new(self.clock.clone()));
        let streams = aws_sdk_dynamodbstreams::Client::from_conf(streams.build());
        Ok((Client::from_conf(config.build()), streams))
    }
}

/// Connections with TLS; as many as there are calls at a time, kept for the next ones.
fn https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// Connections without: for emulators on this machine.
fn plain() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().pool_idle_timeout(IDLE_TIMEOUT).build_http()
}
