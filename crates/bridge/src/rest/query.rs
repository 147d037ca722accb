use std::borrow::Cow;
use std::collections::HashSet;

use parlance_proto::error::Failure;
use parlance_proto::json::UnknownFields;
use percent_encoding::percent_decode_str;
use prost_reflect::{DynamicMessage, ReflectMessage, Value};

use super::value;

/// Sets the fields named in a query, by their JSON or proto names. Repeated fields are given by repetition.
pub(super) fn apply(
    query: &str,
    message: &mut DynamicMessage,
    unknown: UnknownFields,
) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name).ok_or_else(|| Failure::field(name, "is not UTF-8"))?;
        let input = message.descriptor();
        let field = input.get_field_by_json_name(&name).or_else(|| input.get_field_by_name(&name));
        let Some(field) = field else {
            match unknown {
                UnknownFields::Refuse => {
                    return Err(Failure::field(&*name, "is not a parameter of this call"));
                }
                UnknownFields::Ignore => continue,
            }
        };
        let text = decode(text).ok_or_else(|| Failure::field(&*name, "is not UTF-8"))?;
        if field.is_map() {
            return Err(Failure::field(name, "can only be given in a body"));
        }
        let value = value::parse(&field.kind(), &text);
        let value = value.map_err(|description| Failure::field(&*name, description))?;
        if field.is_list() {
            if let Value::List(values) = message.get_field_mut(&field) {
                values.push(value);
            }
        } else if seen.insert(field.number()) {
            message.set_field(&field, value);
        } else {
            return Err(Failure::field(name, "is given more than once"));
        }
    }
    Ok(())
}

/// Decodes form escapes: `+` is a space.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
        return Some(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use parlance_proto::json;

    use super::*;

    fn read(message: &str, query: &str) -> Result<String, Failure> {
        let descriptor = json::pool().get_message_by_name(&format!("parlance.v1.{message}")).unwrap();
        let mut message = DynamicMessage::new(descriptor);
        apply(query, &mut message, UnknownFields::Refuse)?;
        Ok(String::from_utf8(json::to_json(&message).unwrap()).unwrap())
    }

    fn check(message: &str, query: &str, expected: &str) {
        assert_eq!(read(message, query).unwrap(), expected);
    }

    #[test]
    fn parameters_become_fields() {
        check("ListMessagesRequest", "pageSize=10&before_seq=7", r#"{"beforeSeq":"7","pageSize":10}"#);
        check("GetPresenceRequest", "userIds=ann&user_ids=bob", r#"{"userIds":["ann","bob"]}"#);
        check(
            "ListRoomsRequest",
            "includeLeft=true&&pageToken=a%2Bb+c",
            r#"{"pageToken":"a+b c","includeLeft":true}"#,
        );
        check("RemoveMemberRequest", "afterSeq=0", r#"{"afterSeq":"0"}"#);
        check(
            "UpdateRoomRequest",
            "history_visibility=HISTORY_VISIBILITY_ALL",
            r#"{"historyVisibility":"HISTORY_VISIBILITY_ALL"}"#,
        );
        check("ListUsersRequest", "", "{}");
    }

    #[test]
    fn unknown_parameters_are_ignored_on_request() {
        let descriptor = json::pool().get_message_by_name("parlance.v1.ListUsersRequest").unwrap();
        let mut message = DynamicMessage::new(descriptor);
        apply("future=1&pageSize=7", &mut message, UnknownFields::Ignore).unwrap();
        assert_eq!(json::to_json(&message).unwrap(), br#"{"pageSize":7}"#);
    }

    #[test]
    fn a_parameter_at_fault_is_named() {
        let fails = |message, query| read(message, query).unwrap_err().fields[0].0.clone();
        assert_eq!(fails("ListUsersRequest", "pagesize=1"), "pagesize");
        assert_eq!(fails("ListUsersRequest", "pageSize=many"), "pageSize");
        assert_eq!(fails("ListUsersRequest", "page_size=1&pageSize=2"), "pageSize");
        assert_eq!(fails("ListUsersRequest", "pageToken=%ff"), "pageToken");
        assert_eq!(fails("CreateRoomRequest", "settings=x"), "settings");
    }
}
