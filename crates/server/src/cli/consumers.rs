//! Controls the consumers of the change feed in a running server, through its admin listener.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http::{Method, Request, header};
use parlance_api::identity::http::exchange;
use serde::de::DeserializeOwned;

use super::say::say;
use crate::admin::consumers::{Listed, ParkedRooms, RemovedConsumer, Wish};
use crate::config::address;
use crate::limits::{CONSUMERS_ANSWER, CONSUMERS_WITHIN};

/// Consumers deliver the events of all rooms to webhooks and Kafka: see docs/events.md.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The admin listener of the server
    #[arg(
        long,
        env = "PARLANCE_ADMIN_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9090",
        value_parser = address::parse,
        global = true
    )]
    admin: SocketAddr,

    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List all consumers and their state
    List,
    /// Pause delivery. Events are kept until it is resumed, however long that takes
    Pause { name: String },
    /// Resume delivery, also of a disabled consumer
    Resume { name: String },
    /// Deliver everything again, from the first event of every room
    Replay { name: String },
    /// List parked rooms: an event was refused, and they wait for a decision
    Parked { name: String },
    /// Resume a parked room, or all of them
    Retry {
        name: String,
        #[arg(required_unless_present = "all")]
        room: Option<String>,
        /// Resume all parked rooms
        #[arg(long, conflicts_with_all = ["room", "skip"])]
        all: bool,
        /// Skip the refused event: it is never delivered
        #[arg(long)]
        skip: bool,
    },
    /// Remove a consumer that no process is configured with, with its position and its progress: a consumer of this
    /// name that is configured later starts as a new one
    Remove { name: String },
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(act(arguments.admin, arguments.action))
}

async fn act(admin: SocketAddr, action: Action) -> anyhow::Result<()> {
    let (name, wish) = match action {
        Action::List => return list(admin).await,
        Action::Parked { name } => return parked(admin, &name).await,
        Action::Remove { name } => return remove(admin, &name).await,
        Action::Pause { name } => (name, Wish::Pause {}),
        Action::Resume { name } => (name, Wish::Resume {}),
        Action::Replay { name } => (name, Wish::Replay {}),
        Action::Retry { name, room: Some(room), skip, .. } => (name, Wish::Retry { room, skip }),
        Action::Retry { name, .. } => (name, Wish::RetryAll {}),
    };
    let body = serde_json::to_vec(&wish)?;
    call::<()>(admin, Method::POST, &format!("/consumers/{}", escaped(&name)), body).await
}

async fn remove(admin: SocketAddr, name: &str) -> anyhow::Result<()> {
    let (path, body) = (format!("/consumers/{}", escaped(name)), serde_json::to_vec(&Wish::Remove {})?);
    let RemovedConsumer { rooms, pending, parked } = call(admin, Method::POST, &path, body).await?;
    say!("removed {name}: its position, and how far it was in {rooms} rooms")?;
    if pending > 0 {
        say!("lost: that {pending} of these rooms had events that it did not get, {parked} of them parked")?;
    }
    say!("the events are still in their rooms; a new consumer gets them with start = \"beginning\"")?;
    Ok(())
}

async fn list(admin: SocketAddr) -> anyhow::Result<()> {
    let listed: Vec<Listed> = call(admin, Method::GET, "/consumers", Vec::new()).await?;
    let [name, target, state, rooms, lag, parked] = ["NAME", "TARGET", "STATE", "ROOMS", "LAG", "PARKED"];
    say!("{name:<24} {target:<10} {state:<14} {rooms:>8} {lag:>10} {parked:>8}  WHY")?;
    for listed in listed {
        let state = state_of(&listed);
        let Listed { name, target, rooms, lag_seconds, parked, why, .. } = listed;
        say!("{name:<24} {target:<10} {state:<14} {rooms:>8} {lag_seconds:>9.1}s {parked:>8}  {why}")?;
    }
    Ok(())
}

/// The state of a consumer in one word.
fn state_of(listed: &Listed) -> &'static str {
    match listed {
        Listed { damaged: true, .. } => "damaged",
        Listed { disabled, .. } if !disabled.is_empty() => "disabled",
        Listed { paused: true, .. } => "paused",
        Listed { here: true, away: true, .. } => "away",
        Listed { here: true, .. } => "running",
        Listed { configured: true, .. } => "not-here",
        _ => "not-configured",
    }
}

async fn parked(admin: SocketAddr, name: &str) -> anyhow::Result<()> {
    let path = format!("/consumers/{}/parked", escaped(name));
    let mut after = None;
    say!("{:<40} {:<48} REASON", "ROOM", "EVENT")?;
    loop {
        let from = after.map(|room: String| format!("{path}/{}", escaped(&room)));
        let page: ParkedRooms =
            call(admin, Method::GET, from.as_deref().unwrap_or(&path), Vec::new()).await?;
        for room in page.rooms {
            say!("{:<40} {:<48} {}", room.room, room.event, room.reason)?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn call<T: DeserializeOwned>(
    admin: SocketAddr,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<T> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{admin}{path}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(body))?;
    let asked = exchange(request, CONSUMERS_WITHIN, CONSUMERS_ANSWER).await.map_err(anyhow::Error::msg);
    let (status, body) = asked.with_context(|| format!("cannot reach the admin listener at {admin}"))?;
    if !status.is_success() {
        let error = serde_json::from_slice::<serde_json::Value>(&body).ok();
        let error = error.and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
        bail!("{}", error.unwrap_or_else(|| format!("the admin listener answers {status}")));
    }
    serde_json::from_slice(&body).context("cannot read what the admin listener answers")
}

/// Percent-encodes everything but letters, digits and `-_.`, for a path or a query.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    text.bytes().fold(String::new(), |mut out, byte| {
        match plain(&byte) {
            true => out.push(byte.into()),
            false => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}
