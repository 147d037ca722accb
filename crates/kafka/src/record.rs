//! An event as a Kafka record: CloudEvents 1.0, Kafka protocol binding, binary content mode.

use parlance_proto::events::v1::RoomEvent;
use parlance_proto::json;
use prost::Message;
use rdkafka::message::{Header, OwnedHeaders};

/// Format of the values of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `parlance.events.v1.RoomEvent`, encoded.
    #[default]
    Protobuf,
    /// Canonical proto3 JSON.
    Json,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/protobuf",
            Self::Json => "application/json",
        }
    }
}

/// A record without its key and topic.
pub(crate) struct Record {
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Never empty: a record without a value is a tombstone.
    pub(crate) value: Vec<u8>,
    pub(crate) at_ms: i64,
}

impl Record {
    /// Creates the record of an event; `Err` says why there is none.
    pub(crate) fn new(event: &RoomEvent, format: Format, source: &str) -> Result<Self, String> {
        let value = match format {
            Format::Protobuf => event.encode_to_vec(),
            Format::Json => json::room_event_to_json(event).map_err(|error| error.message)?,
        };
        let at = event.at.unwrap_or_default();
        let time = json::timestamp_to_json(&at).map_err(|error| error.message)?;
        // The JSON form is a string.
        let time = String::from_utf8_lossy(&time).trim_matches('"').to_owned();
        let headers = vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", event.id.clone()),
            ("ce_type", event.r#type.clone()),
            ("ce_source", source.to_owned()),
            ("ce_subject", event.room_id.clone()),
            ("ce_time", time),
            ("ce_partitionkey", event.room_id.clone()),
            ("ce_epoch", event.epoch.to_string()),
            ("ce_seq", event.seq.to_string()),
            ("content-type", format.content_type().to_owned()),
        ];
        let at_ms = at.seconds.saturating_mul(1_000).saturating_add(i64::from(at.nanos) / 1_000_000);
        Ok(Self { headers, value, at_ms })
    }

    pub(crate) fn headers(&self) -> OwnedHeaders {
        let headers = OwnedHeaders::new_with_capacity(self.headers.len());
        self.headers.iter().fold(headers, |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_str()) })
        })
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::Timestamp;
    use parlance_proto::{convert, v1};

    use super::*;

    /// Consumers read these for years.
    #[test]
    fn records_are_written_as_they_always_were() {
        let event = RoomEvent {
            id: "room-1:2:7".to_owned(),
            r#type: "parlance.message.sent.v1".to_owned(),
            room_id: "room-1".to_owned(),
            epoch: 2,
            seq: 7,
            at: Some(convert::timestamp(Timestamp(1_700_000_000_123))),
            ..RoomEvent::default()
        };
        let record = Record::new(&event, Format::Protobuf, "parlance").unwrap();
        let headers: Vec<String> =
            record.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            headers,
            [
                "ce_specversion: 1.0",
                "ce_id: room-1:2:7",
                "ce_type: parlance.message.sent.v1",
                "ce_source: parlance",
                "ce_subject: room-1",
                "ce_time: 2023-11-14T22:13:20.123Z",
                "ce_partitionkey: room-1",
                "ce_epoch: 2",
                "ce_seq: 7",
                "content-type: application/protobuf",
            ]
        );
        assert_eq!(record.at_ms, 1_700_000_000_123);
        assert_eq!(RoomEvent::decode(record.value.as_slice()).unwrap(), event);
        let json = Record::new(&event, Format::Json, "parlance").unwrap();
        assert_eq!(json.headers.last().unwrap().1, "application/json");
        assert!(json.value.starts_with(br#"{"id":"room-1:2:7""#), "{:?}", String::from_utf8(json.value));
    }

    /// Its body is in no form of JSON here, and whole in protobuf.
    #[test]
    fn an_event_of_a_later_version_is_a_record() {
        let event = RoomEvent {
            id: "room-1:2:8".to_owned(),
            r#type: "parlance.unknown.v1".to_owned(),
            room_id: "room-1".to_owned(),
            at: Some(convert::timestamp(Timestamp(1_700_000_000_123))),
            event: Some(v1::Event { seq: 8, raw: b"\x9a\x06\x05later".to_vec(), ..v1::Event::default() }),
            ..RoomEvent::default()
        };
        let whole = Record::new(&event, Format::Protobuf, "parlance").unwrap();
        assert_eq!(RoomEvent::decode(whole.value.as_slice()).unwrap(), event);
        let json = Record::new(&event, Format::Json, "parlance").unwrap();
        let text = String::from_utf8(json.value).unwrap();
        assert!(text.contains(r#""type":"parlance.unknown.v1""#) && text.contains(r#""seq":"8""#), "{text}");
    }
}
