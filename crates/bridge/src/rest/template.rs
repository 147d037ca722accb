use std::borrow::Cow;
use std::fmt;

use parlance_proto::error::Failure;
use percent_encoding::percent_decode_str;
use prost_reflect::{FieldDescriptor, MessageDescriptor, Value};

use super::value;

/// A path template: literals and `{field}`, one segment each. The contract uses no
/// other feature of `google.api.http`.
#[derive(Debug)]
pub(super) struct Template(Vec<Segment>);

#[derive(Debug)]
enum Segment {
    Literal(String),
    Field(FieldDescriptor),
}

/// A percent-decoded segment of a request's path; an error if it is not UTF-8.
pub(super) type Decoded<'p> = Result<Cow<'p, str>, ()>;

/// Splits a path. An escaped slash does not separate segments.
pub(super) fn split(path: &str) -> Vec<Decoded<'_>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').map(|segment| percent_decode_str(segment).decode_utf8().map_err(|_| ())).collect()
}

impl Template {
    /// Reads a template whose fields are those of `input`.
    pub(super) fn parse(template: &str, input: &MessageDescriptor) -> Result<Self, String> {
        let path = template.strip_prefix('/').ok_or("does not begin with a slash")?;
        let segments = path.split('/').map(|segment| {
            let field = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let Some(name) = field else {
                return match segment.contains(['{', '}', '*', ':', '%']) || segment.is_empty() {
                    true => Err(format!("`{segment}` is not supported")),
                    false => Ok(Segment::Literal(segment.to_owned())),
                };
            };
            let field = input.get_field_by_name(name).ok_or_else(|| format!("there is no field `{name}`"))?;
            if field.is_list() || field.is_map() || field.kind().as_message().is_some() {
                return Err(format!("`{name}` does not fit into a segment"));
            }
            Ok(Segment::Field(field))
        });
        segments.collect::<Result<_, _>>().map(Self)
    }

    /// The fields that a matching path sets.
    pub(super) fn bind(&self, path: &[Decoded<'_>]) -> Result<Vec<(FieldDescriptor, Value)>, Failure> {
        let segments = self.0.iter().zip(path);
        let fields = segments.filter_map(|(segment, decoded)| match segment {
            Segment::Literal(_) => None,
            Segment::Field(field) => Some((field, decoded)),
        });
        fields
            .map(|(field, decoded)| {
                let text = decoded.as_ref().map_err(|()| Failure::field(field.name(), "is not UTF-8"))?;
                let value = value::parse(&field.kind(), text);
                let value = value.map_err(|description| Failure::field(field.name(), description))?;
                Ok((field.clone(), value))
            })
            .collect()
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &FieldDescriptor> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Field(field) => Some(field),
            Segment::Literal(_) => None,
        })
    }

    /// The template in the router's syntax, with the contract's field names.
    pub(super) fn pattern(&self) -> String {
        self.written(FieldDescriptor::name)
    }

    fn written(&self, name: impl Fn(&FieldDescriptor) -> &str) -> String {
        let segments = self.0.iter().map(|segment| match segment {
            Segment::Literal(literal) => format!("/{literal}"),
            Segment::Field(field) => format!("/{{{}}}", name(field)),
        });
        segments.collect()
    }
}

/// Fields by their JSON names.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(FieldDescriptor::json_name))
    }
}

#[cfg(test)]
mod tests {
    use parlance_proto::json;

    use super::*;

    fn get_message() -> MessageDescriptor {
        json::pool().get_message_by_name("parlance.v1.GetMessageRequest").unwrap()
    }

    fn check(path: &str, expected: &[&str]) {
        let template = Template::parse("/v1/rooms/{room_id}/messages/{seq}", &get_message()).unwrap();
        let bound = template.bind(&split(path)).unwrap();
        let bound: Vec<_> = bound.iter().map(|(field, value)| format!("{}={value}", field.name())).collect();
        assert_eq!(bound, expected, "{path:?}");
    }

    #[test]
    fn segments_are_bound_decoded() {
        check("/v1/rooms/r1/messages/7", &[r#"room_id="r1""#, "seq=7"]);
        check("/v1/rooms/a%2Fb%20c+d/messages/7", &[r#"room_id="a/b c+d""#, "seq=7"]);
    }

    #[test]
    fn a_segment_that_does_not_fit_names_the_field() {
        let template = Template::parse("/v1/rooms/{room_id}/messages/{seq}", &get_message()).unwrap();
        let fails = |path: &str| template.bind(&split(path)).unwrap_err().fields[0].0.clone();
        assert_eq!(fails("/v1/rooms/r1/messages/x"), "seq");
        assert_eq!(fails("/v1/rooms/r1/messages/-1"), "seq");
        assert_eq!(fails("/v1/rooms/%ff/messages/1"), "room_id");
    }

    #[test]
    fn unsupported_configuration_is_refused() {
        let fails = |template: &str| Template::parse(template, &get_message()).unwrap_err();
        assert!(fails("v1/rooms").contains("slash"));
        assert!(fails("/v1/{nothing}").contains("nothing"));
        assert!(fails("/v1/{room_id=rooms/*}").contains("not supported"));
        assert!(fails("/v1/rooms:join").contains("not supported"));
    }
}
