//! Suggestions for JSON that does not fit the contract.
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::limits::MAX_SUGGESTIONS;

/// The names of the fields of the message at `path` in `message`, if they are few.
pub(crate) fn fields(message: &MessageDescriptor, path: &str) -> Option<String> {
    let at = match path {
        "" => message.clone(),
        path => match field(message, path)?.kind() {
            Kind::Message(at) => at,
            _ => return None,
        },
    };
    joined(at.fields().map(|field| field.json_name().to_owned()))
}

/// The values of the enum at `path`, without the unspecified one.
pub(crate) fn values(message: &MessageDescriptor, path: &str) -> Option<String> {
    let Kind::Enum(of) = field(message, path)?.kind() else { return None };
    joined(of.values().filter(|value| value.number() != 0).map(|value| value.name().to_owned()))
}

/// The field at a path such as `room.memberIds[0]`.
fn field(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let name = first.split('[').next().unwrap_or(first);
    let field = message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))?;
    match field.kind() {
        _ if rest.is_empty() => Some(field),
        Kind::Message(within) => self::field(&within, rest),
        _ => None,
    }
}

fn joined(names: impl Iterator<Item = String>) -> Option<String> {
    let names: Vec<String> = names.collect();
    (1..=MAX_SUGGESTIONS).contains(&names.len()).then(|| names.join(", "))
}
