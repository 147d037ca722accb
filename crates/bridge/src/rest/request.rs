use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use parlance_peers::{Budget, Charged};
use parlance_proto::error::Failure;
use parlance_proto::json;
use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};
use tonic::Code;

use super::query;
use super::routes::Route;
use crate::answer::Refusal;
use crate::bodies::{self, Unread};
use crate::headers;

/// Receives the body of a call, of at most `most` bytes.
pub(super) async fn receive(
    route: &Route,
    parts: &Parts,
    body: Body,
    most: usize,
    budget: Option<&Arc<Budget>>,
) -> Result<Charged<Bytes>, Refusal> {
    if route.takes_body() {
        let query = parts.uri.query().unwrap_or_default();
        if let Some(pair) = query.split('&').find(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            return Err(
                Failure::field(name, "is not a parameter: this call has its fields in the body").into()
            );
        }
        check_content_type(&parts.headers)?;
    }
    match bodies::read(body, most, budget).await {
        Ok(body) => Ok(body),
        Err(Unread::TooLarge) => {
            let message = format!("the body may have {most} bytes");
            let failure = Failure::new(Code::OutOfRange, "body_too_large", message);
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, failure))
        }
        Err(unread) => Err(unread.failure().into()),
    }
}

/// Assembles an encoded request: the body or the query, overridden by the path.
pub(super) fn decode(
    route: &Route,
    bound: Vec<(FieldDescriptor, Value)>,
    parts: &Parts,
    body: &Bytes,
) -> Result<Bytes, Refusal> {
    let unknown = headers::unknown_fields(&parts.headers);
    let mut message = DynamicMessage::new(route.input().clone());
    if !route.takes_body() {
        // Ignoring it silently would drop, for example, the request id of a delete.
        if !body.is_empty() {
            let message = "this call has its fields in the query, not in a body";
            return Err(Failure::new(Code::InvalidArgument, "unexpected_body", message).into());
        }
        query::apply(parts.uri.query().unwrap_or_default(), &mut message, unknown)?;
    } else if !body.is_empty() {
        message = json::read(route.input(), body, unknown)?;
    }
    for (field, value) in bound {
        check_path(&message, &field, &value)?;
        message.set_field(&field, value);
    }
    Ok(message.encode_to_vec().into())
}

/// Rejects a request that contradicts its path: one of the two values would be ignored.
fn check_path(message: &DynamicMessage, field: &FieldDescriptor, value: &Value) -> Result<(), Failure> {
    let alternatives =
        field.containing_oneof().map(|oneof| oneof.fields().collect()).unwrap_or(vec![field.clone()]);
    for said in alternatives.iter().filter(|said| message.has_field(said)) {
        if said != field || *message.get_field(said) != *value {
            return Err(Failure::field(
                said.json_name(),
                format!("contradicts {} in the path", field.json_name()),
            ));
        }
    }
    Ok(())
}

/// JSON, or unspecified.
fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let failure =
        Failure::new(Code::InvalidArgument, "unsupported_media_type", "the body must be application/json");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, failure))
}
