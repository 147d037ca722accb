use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use parlance_peers::{Budget, Charge, Charged};
use parlance_proto::error::Failure;
use parlance_proto::json;
use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};
use tonic::Code;

use super::query;
use super::routes::{Bound, Route};
use crate::answer::Refusal;
use crate::bodies::{self, Unread};
use crate::headers;
use crate::limits::MAX_BODY_BYTES;

/// A request that was read.
pub(super) struct ReadRequest {
    /// Encoded.
    pub(super) message: Bytes,
    /// The size of the body.
    pub(super) bytes: usize,
    /// What the connection is charged for it.
    pub(super) charge: Option<Charge>,
}

/// Assembles an encoded request: the body or the query, overridden by the path.
pub(super) async fn read(
    route: &Route,
    bound: Bound,
    parts: &Parts,
    body: Body,
    budget: Option<Arc<Budget>>,
) -> Result<ReadRequest, Refusal> {
    let bound = bound?;
    let query = parts.uri.query().unwrap_or_default();
    let unknown = headers::unknown_fields(&parts.headers);
    let mut message = DynamicMessage::new(route.input().clone());
    let (mut bytes, mut charge) = (0, None);
    if route.takes_body() {
        if let Some(pair) = query.split('&').find(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            return Err(
                Failure::field(name, "is not a parameter: this call has its fields in the body").into()
            );
        }
        check_content_type(&parts.headers)?;
        let body = read_body(body, budget.as_ref()).await?;
        (bytes, charge) = (body.value.len(), body.charge);
        if !body.value.is_empty() {
            message = json::read(route.input(), &body.value, unknown)?;
        }
    } else {
        // Ignoring it silently would drop, for example, the request id of a delete.
        if !read_body(body, budget.as_ref()).await?.value.is_empty() {
            let message = "this call has its fields in the query, not in a body";
            return Err(Failure::new(Code::InvalidArgument, "unexpected_body", message).into());
        }
        query::apply(query, &mut message, unknown)?;
    }
    for (field, value) in bound {
        check_path(&message, &field, &value)?;
        message.set_field(&field, value);
    }
    Ok(ReadRequest { message: message.encode_to_vec().into(), bytes, charge })
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

pub(super) async fn read_body(body: Body, budget: Option<&Arc<Budget>>) -> Result<Charged<Bytes>, Refusal> {
    match bodies::read(body, MAX_BODY_BYTES, budget).await {
        Ok(body) => Ok(body),
        Err(Unread::TooLarge) => {
            let message = format!("the body may have {MAX_BODY_BYTES} bytes");
            let failure = Failure::new(Code::OutOfRange, "body_too_large", message);
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, failure))
        }
        Err(unread) => Err(unread.failure().into()),
    }
}
