//! Prints events like other services receive them.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use parlance_proto::events::v1::event_service_client::EventServiceClient;
use parlance_proto::events::v1::{StreamEventsRequest, StreamStart};
use parlance_proto::json::room_event_to_json;
use tonic::Request;
use tonic::transport::Endpoint;

/// The same stream that other services read, see docs/events.md. Requires a token with the scope `service`,
/// except for a server in local mode.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The server: host:port
    #[arg(long, env = "PARLANCE_SERVER", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    server: String,

    /// File with the token, unless the server is in local mode
    #[arg(long, env = "PARLANCE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Start with the first event of every room, instead of with events from now on
    #[arg(long)]
    beginning: bool,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(print(arguments))
}

async fn print(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { server, token_file, beginning } = arguments;
    let token = match token_file {
        Some(file) => std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?
            .trim()
            .to_owned(),
        None => super::chat::sign_in(&server, "events").await?,
    };
    let address = format!("http://{}", server.trim_start_matches("http://"));
    let endpoint = Endpoint::from_shared(address).with_context(|| format!("the address {server:?}"))?;
    let channel = endpoint.connect().await.with_context(|| format!("cannot connect to {server}"))?;
    let start = if beginning { StreamStart::Beginning } else { StreamStart::Unspecified };
    let mut cursor = String::new();
    loop {
        let request =
            StreamEventsRequest { start: start.into(), cursor: cursor.clone(), ..Default::default() };
        let mut request = Request::new(request);
        let authorization = format!("Bearer {token}").parse().context("the token")?;
        request.metadata_mut().insert("authorization", authorization);
        let mut stream = EventServiceClient::new(channel.clone()).stream_events(request).await?.into_inner();
        while let Some(response) = stream.message().await? {
            for event in &response.events {
                let json = room_event_to_json(event).map_err(|error| anyhow::anyhow!(error.message))?;
                println!("{}", String::from_utf8_lossy(&json));
            }
            cursor = response.cursor;
        }
    }
}
