//! Prints events like other services receive them.

use std::io::Write;

use anyhow::{Context, bail};
use clap::Args;
use parlance_proto::events::v1::event_service_client::EventServiceClient;
use parlance_proto::events::v1::{StreamEventsRequest, StreamStart};
use parlance_proto::json::room_event_to_json;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::remote::Remote;
use crate::limits::{RECONNECT, RECONNECTS};

/// The same stream that other services read, see docs/events.md. Requires a token with the scope `service`,
/// except for a server in local mode.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    remote: Remote,

    /// Start with the first event of every room, instead of with events from now on
    #[arg(long)]
    beginning: bool,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(print(arguments))
}

async fn print(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { remote, beginning } = arguments;
    let token = remote.token("events").await?;
    let channel = remote.channel().await?;
    let start = if beginning { StreamStart::Beginning } else { StreamStart::Unspecified };
    let (mut cursor, mut failures) = (String::new(), 0);
    loop {
        let request =
            StreamEventsRequest { start: start.into(), cursor: cursor.clone(), ..Default::default() };
        let mut request = Request::new(request);
        let authorization = format!("Bearer {token}").parse().context("the token")?;
        request.metadata_mut().insert("authorization", authorization);
        let had = cursor.clone();
        let ended = print_stream(&channel, request, &mut cursor).await?;
        // Another server, or this one, continues after the last cursor.
        failures = if cursor == had { failures + 1 } else { 1 };
        match ended {
            // The message of the server names a field of the API.
            Some(status) if !cursor.is_empty() && status.code() == Code::OutOfRange => {
                bail!("the store was restored, or what follows is no longer kept: read all with --beginning");
            }
            Some(status) if !is_passing(&status) || failures > RECONNECTS => {
                return Err(status.into());
            }
            _ => tokio::time::sleep(RECONNECT.delay(failures)).await,
        }
    }
}

/// Whether a stream may be opened again after it ended so: the server is away, was killed, or its store is overloaded.
fn is_passing(status: &Status) -> bool {
    use Code::{Internal, ResourceExhausted, Unavailable, Unknown};
    matches!(status.code(), Unavailable | Unknown | Internal | ResourceExhausted)
}

/// Prints what a stream sends, until it ends or is refused.
async fn print_stream(
    channel: &Channel,
    request: Request<StreamEventsRequest>,
    cursor: &mut String,
) -> anyhow::Result<Option<Status>> {
    let mut stream = match EventServiceClient::new(channel.clone()).stream_events(request).await {
        Ok(stream) => stream.into_inner(),
        Err(status) => return Ok(Some(status)),
    };
    loop {
        let response = match stream.message().await {
            Ok(Some(response)) => response,
            Ok(None) => return Ok(None),
            Err(status) => return Ok(Some(status)),
        };
        let mut out = std::io::stdout().lock();
        for event in &response.events {
            let mut line = room_event_to_json(event).map_err(|error| anyhow::anyhow!(error.message))?;
            line.push(b'\n');
            out.write_all(&line)?;
        }
        out.flush()?;
        *cursor = response.cursor;
    }
}
