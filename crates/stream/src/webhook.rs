//! Webhooks according to the Standard Webhooks specification: each event is a signed POST.
//!
//! An endpoint gets the events of a room one after the other. Every answer except success is retried with
//! growing backoff, for days; 410 disables the endpoint, 422 refuses one event, and 429 and 503 are no fault of the event.

mod address;
mod client;
mod signature;
mod url;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use parlance_core::{Clock, RoomId, Timestamp};
use parlance_proto::events::v1::RoomEvent;
use parlance_proto::json;

pub use self::address::Reach;
use self::client::Client;
pub use self::signature::{Secret, SecretError};
pub use self::url::{Url, UrlError};
use crate::limits::MAX_RETRY_AFTER;
pub use crate::limits::WEBHOOK_TIMEOUT as TIMEOUT;
use crate::sink::{Delivered, EventSink, SinkError};

/// An endpoint that events are posted to.
pub struct Webhook {
    client: Client,
    secrets: Vec<Secret>,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// Creates an endpoint. Each post is signed with each of `secrets`, so that they can be rotated.
    pub fn new(url: Url, secrets: Vec<Secret>, reach: Reach, clock: Arc<dyn Clock>) -> Self {
        Self { client: Client::new(url, reach), secrets, clock }
    }

    async fn post(&self, event: &RoomEvent) -> Result<(), SinkError> {
        let body = payload(event)?;
        let seconds = self.clock.now().0 / 1_000;
        let signatures: Vec<String> =
            self.secrets.iter().map(|secret| secret.sign(&event.id, seconds, &body)).collect();
        let headers = [
            ("webhook-id", event.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ];
        match self.client.post(&headers, body, TIMEOUT).await {
            Ok((status, headers)) => judge(status, &headers, self.clock.now()),
            Err(reason) => Err(SinkError::Unavailable { reason, retry_after: None }),
        }
    }
}

/// Interprets an answer.
fn judge(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Result<(), SinkError> {
    let reason = format!("the endpoint answers {}", status.as_u16());
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::GONE => Err(SinkError::Gone { reason }),
        StatusCode::UNPROCESSABLE_ENTITY => Err(SinkError::Refused { reason }),
        status if status.is_redirection() => {
            let reason = format!("{reason}: redirects are not followed");
            Err(SinkError::Unavailable { reason, retry_after: None })
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Err(SinkError::Busy { reason, retry_after: retry_after(headers, now) })
        }
        _ => Err(SinkError::Unavailable { reason, retry_after: retry_after(headers, now) }),
    }
}

/// The delay that an answer asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
            until.saturating_sub(Duration::from_millis(now.0))
        }
    };
    Some(delay.min(MAX_RETRY_AFTER))
}

/// `{"type": …, "timestamp": …, "data": the event}`.
fn payload(event: &RoomEvent) -> Result<Bytes, SinkError> {
    let refused = |error: json::Error| SinkError::Refused { reason: error.message };
    let data = json::room_event_to_json(event).map_err(refused)?;
    let at = json::timestamp_to_json(&event.at.unwrap_or_default()).map_err(refused)?;
    // Types contain only letters, dots and underscores.
    let start = format!(r#"{{"type":"{}","timestamp":"#, event.r#type);
    Ok([start.as_bytes(), &at, br#","data":"#, &data, b"}"].concat().into())
}

#[async_trait]
impl EventSink for Webhook {
    async fn deliver(&self, _room: &RoomId, events: &[RoomEvent]) -> Delivered {
        for (count, event) in events.iter().enumerate() {
            if let Err(error) = self.post(event).await {
                return Delivered { count, error: Some(error) };
            }
        }
        Delivered::all(events.len())
    }

    /// One: a post may take long, and its text is to be that of the moment in which it starts.
    fn batch(&self) -> usize {
        1
    }

    async fn check(&self) -> Result<(), String> {
        self.client.addresses().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use parlance_proto::v1;

    use super::*;

    /// Its kind is unknown here, so its body cannot be shown; it is posted nevertheless.
    #[test]
    fn an_event_of_a_later_version_is_posted() {
        let event = RoomEvent {
            id: "room-1:1:7".to_owned(),
            r#type: "parlance.unknown.v1".to_owned(),
            room_id: "room-1".to_owned(),
            epoch: 1,
            seq: 7,
            event: Some(v1::Event { seq: 7, raw: b"\x9a\x06\x05later".to_vec(), ..v1::Event::default() }),
            ..RoomEvent::default()
        };
        let body = payload(&event).unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.starts_with(r#"{"type":"parlance.unknown.v1","timestamp":""#), "{text}");
        assert!(text.contains(r#""id":"room-1:1:7""#) && text.contains(r#""seq":"7""#), "{text}");
    }

    #[test]
    fn answers_are_distinguished() {
        let judged = |status: u16, retry_after: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = retry_after {
                headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            }
            judge(StatusCode::from_u16(status).unwrap(), &headers, Timestamp(784_111_777_000))
        };
        for good in [200, 202, 204] {
            assert_eq!(judged(good, None), Ok(()));
        }
        assert!(matches!(judged(410, None), Err(SinkError::Gone { .. })));
        assert!(matches!(judged(422, None), Err(SinkError::Refused { .. })));
        for later in [301, 302, 307, 400, 401, 404, 408, 500, 502, 504] {
            assert!(
                matches!(judged(later, None), Err(SinkError::Unavailable { retry_after: None, .. })),
                "{later}"
            );
        }
        for busy in [429, 503] {
            assert!(matches!(judged(busy, None), Err(SinkError::Busy { retry_after: None, .. })), "{busy}");
        }
        let asked = [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("999999", Some(3_600)),
            ("tomorrow", None),
            ("-1", None),
            // The clock is at 08:49:37.
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("Mon, 06 Nov 1995 08:49:07 GMT", Some(3_600)),
        ];
        for (asked, granted) in asked {
            for status in [500, 503] {
                let (SinkError::Unavailable { retry_after, .. } | SinkError::Busy { retry_after, .. }) =
                    judged(status, Some(asked)).unwrap_err()
                else {
                    panic!("{status}")
                };
                assert_eq!(retry_after, granted.map(Duration::from_secs), "{asked}");
            }
        }
    }
}
