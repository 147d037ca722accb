//! Admin API of the change feed's consumers.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use parlance_core::{RoomId, Timestamp};
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerName, ConsumerState, Removed, RoomProgress, Wanted};
use parlance_stream::consumer::{Error, Status};
use parlance_stream::leased::NotFree;
use serde::{Deserialize, Serialize};

use crate::consumers::{Consumers, NotRemoved, Source};
use crate::limits::PARKED_PAGE;

/// One consumer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// Kind of sink.
    pub(crate) target: String,
    /// Whether it runs in the answering process.
    pub(crate) here: bool,
    pub(crate) paused: bool,
    /// Why it was disabled; empty if it was not.
    pub(crate) disabled: String,
    /// Whether the endpoint currently accepts nothing.
    pub(crate) away: bool,
    /// Rooms in memory with undelivered events.
    pub(crate) rooms: usize,
    /// Age of the oldest undelivered event, those of parked rooms apart.
    pub(crate) lag_seconds: f64,
    /// Parked rooms.
    #[serde(default)]
    pub(crate) parked: usize,
    /// How long the first of them has been parked.
    #[serde(default)]
    pub(crate) parked_seconds: f64,
    /// Whether the answering process is configured with it.
    #[serde(default)]
    pub(crate) configured: bool,
    /// Whether its row is unreadable: then the other fields say nothing.
    #[serde(default)]
    pub(crate) damaged: bool,
    /// Why events do not leave, or do not leave from here; empty if they do.
    #[serde(default)]
    pub(crate) why: String,
}

/// A parked room: it waits for an operator's decision.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ParkedRoom {
    pub(crate) room: String,
    /// The refused event.
    pub(crate) event: String,
    pub(crate) reason: String,
    /// Unix milliseconds.
    pub(crate) since_ms: u64,
}

/// A page of parked rooms.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ParkedRooms {
    pub(crate) rooms: Vec<ParkedRoom>,
    /// Start of the next page; none on the last.
    pub(crate) next: Option<String>,
}

/// What was lost with a removed consumer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RemovedConsumer {
    /// Rooms of which it had stored how far it was.
    pub(crate) rooms: usize,
    /// Those of them with events that it did not get.
    pub(crate) pending: usize,
    /// Those of them that were parked.
    pub(crate) parked: usize,
}

/// A command to a consumer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do", deny_unknown_fields)]
pub(crate) enum Wish {
    // With braces: fields of others are refused, instead of being ignored.
    Pause {},
    Resume {},
    Replay {},
    Retry {
        room: String,
        /// Skip the refused event.
        #[serde(default)]
        skip: bool,
    },
    /// All parked rooms.
    RetryAll {},
    /// The consumer, which no process may be configured with.
    Remove {},
}

pub(crate) fn routes(consumers: Arc<Consumers>) -> Router {
    Router::new()
        .route("/consumers", get(list))
        .route("/consumers/{name}", post(steer))
        .route("/consumers/{name}/parked", get(parked))
        .route("/consumers/{name}/parked/{after}", get(parked_after))
        .layer(middleware::from_fn(no_pages))
        .with_state(consumers)
}

/// Refuses web pages: the browser of an operator can reach this listener.
async fn no_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        return refuse(StatusCode::FORBIDDEN, "web pages may not use this listener");
    }
    next.run(request).await
}

/// All consumers of the store, with the state of those that run in this process.
async fn list(State(consumers): State<Arc<Consumers>>) -> Response {
    let Some(source) = consumers.source() else { return json(&Vec::<Listed>::new()) };
    let found = match source.table.consumers().await {
        Ok(found) => found,
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let mut all = Vec::with_capacity(found.len());
    for (name, state) in found {
        all.push(match state {
            Ok(state) => listed(&consumers, source, name, state).await,
            Err(error) => damaged(&consumers, &name, &error),
        });
    }
    json(&all)
}

fn damaged(consumers: &Consumers, name: &ConsumerName, error: &StoreError) -> Listed {
    Listed {
        name: name.to_string(),
        target: String::new(),
        here: false,
        paused: false,
        disabled: String::new(),
        away: false,
        rooms: 0,
        lag_seconds: 0.0,
        parked: 0,
        parked_seconds: 0.0,
        configured: consumers.is_configured(name.as_str()),
        damaged: true,
        why: error.to_string(),
    }
}

async fn listed(consumers: &Consumers, source: &Source, name: ConsumerName, state: ConsumerState) -> Listed {
    let now = source.clock.now();
    let age = |since: Option<Timestamp>| since.map_or(0.0, |since| now.since(since) as f64 / 1_000.0);
    let status = consumers.running(name.as_str()).map(|consumer| consumer.status().borrow().clone());
    let here = status.is_some();
    let status = status.unwrap_or_else(|| Status {
        paused: state.paused,
        disabled: state.disabled.clone(),
        behind_since: state.behind_since,
        ..Status::default()
    });
    let why = match (&status.disabled, &status.away_because) {
        (disabled, _) if !disabled.is_empty() => disabled.clone(),
        (_, away) if here && !away.is_empty() => away.clone(),
        _ if here => status.unread_because.clone(),
        _ => match consumers.name_in_use(name.as_str()) {
            Some(error) => error.to_string(),
            None => elsewhere(source, &name).await,
        },
    };
    Listed {
        configured: consumers.is_configured(name.as_str()),
        damaged: false,
        name: name.to_string(),
        target: state.target,
        here,
        paused: status.paused,
        disabled: status.disabled,
        away: status.is_away,
        rooms: status.rooms,
        lag_seconds: age(status.behind_since),
        parked: status.parked_rooms,
        parked_seconds: age(status.parked_since),
        why,
    }
}

/// Where a consumer runs that does not run here.
async fn elsewhere(source: &Source, name: &ConsumerName) -> String {
    let Some(leases) = &source.leases else { return "no process is configured with it".to_owned() };
    match leases.lease(name).await {
        Ok(Some(lease)) if !lease.owner.is_empty() => format!("process {} has its lease", lease.owner),
        Ok(_) => "no process has its lease".to_owned(),
        Err(error) => format!("cannot read its lease: {error}"),
    }
}

async fn parked(State(consumers): State<Arc<Consumers>>, Path(name): Path<String>) -> Response {
    parked_of(&consumers, &name, None).await
}

/// The page after the room `after`.
async fn parked_after(
    State(consumers): State<Arc<Consumers>>,
    Path((name, after)): Path<(String, String)>,
) -> Response {
    match RoomId::parse(&after) {
        Ok(after) => parked_of(&consumers, &name, Some(after)).await,
        Err(error) => refuse(StatusCode::BAD_REQUEST, &format!("after: {error}")),
    }
}

async fn parked_of(consumers: &Consumers, name: &str, after: Option<RoomId>) -> Response {
    let Some(name) = ConsumerName::parse(name) else { return unknown() };
    let Some(source) = consumers.source() else { return unknown() };
    match source.table.consumer(&name).await {
        Ok(Some(_)) => {}
        Ok(None) => return refuse(StatusCode::NOT_FOUND, &format!("there is no consumer {name}")),
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
    let page = match source.table.rooms(&name, Wanted::Parked, after.as_ref(), PARKED_PAGE).await {
        Ok(page) => page,
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let room = |(room, progress): (RoomId, _)| {
        let RoomProgress { done, parked, .. } = progress;
        let parked = parked?;
        let event = format!("{room}:{}:{}", done.epoch, done.seq + 1);
        let room = room.as_str().to_owned();
        Some(ParkedRoom { room, event, reason: parked.reason, since_ms: parked.since.0 })
    };
    let rooms = page.rooms.into_iter().filter_map(room).collect();
    json(&ParkedRooms { rooms, next: page.next.map(|room| room.as_str().to_owned()) })
}

async fn steer(
    State(consumers): State<Arc<Consumers>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // HTML forms cannot send this content type.
    if !is_json(&headers) {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content-type must be application/json");
    }
    let wish = match serde_json::from_slice::<Wish>(&body) {
        Ok(wish) => wish,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let consumer = match (&wish, consumers.running(&name)) {
        (Wish::Remove {}, _) => return remove(&consumers, &name).await,
        (_, Some(consumer)) => consumer,
        (_, None) => return unknown(),
    };
    let done = match wish {
        Wish::Remove {} => return unknown(),
        Wish::Pause {} => consumer.pause(true).await,
        Wish::Resume {} => consumer.pause(false).await,
        Wish::Replay {} => consumer.replay().await,
        Wish::RetryAll {} => consumer.unpark_all().await,
        Wish::Retry { room, skip } => match RoomId::parse(&room) {
            Ok(room) => consumer.unpark(room, skip).await,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, &format!("room: {error}")),
        },
    };
    match done {
        Ok(()) => json(&()),
        Err(error @ Error::NotParked(_)) => refuse(StatusCode::CONFLICT, &error.to_string()),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// Whether a body is declared as JSON, with or without parameters such as a charset.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

async fn remove(consumers: &Consumers, name: &str) -> Response {
    let missing = || refuse(StatusCode::NOT_FOUND, &format!("there is no consumer {name}"));
    let Some(parsed) = ConsumerName::parse(name) else { return missing() };
    match consumers.remove(parsed).await {
        Ok(Some(removed)) => {
            tracing::info!(consumer = name, ?removed, "a consumer was removed");
            let Removed { rooms, pending, parked } = removed;
            json(&RemovedConsumer { rooms, pending, parked })
        }
        Ok(None) => missing(),
        Err(error @ (NotRemoved::Configured(_) | NotRemoved::NotFree(NotFree::Held { .. }))) => {
            refuse(StatusCode::CONFLICT, &error.to_string())
        }
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

fn unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, "no consumer of this name runs in this process")
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "error": message }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `replay` is no command for one room: carried out anyway, it would send everything again.
    #[test]
    fn a_command_with_fields_of_another_is_refused() {
        let read = |json: &str| serde_json::from_str::<Wish>(json).is_ok();
        for command in ["pause", "resume", "replay", "retry-all", "remove"] {
            assert!(read(&format!(r#"{{"do":"{command}"}}"#)), "{command}");
            assert!(!read(&format!(r#"{{"do":"{command}","room":"r1"}}"#)), "{command}");
        }
        assert!(read(r#"{"do":"retry","room":"r1","skip":true}"#) && read(r#"{"room":"r1","do":"retry"}"#));
        assert!(!read(r#"{"do":"retry","room":"r1","all":true}"#) && !read(r#"{"do":"retry"}"#));
    }
}
