//! The REST calls as an OpenAPI document, generated from the contract: its annotations, messages and comments.

mod comments;
mod schema;

use std::sync::LazyLock;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use parlance_peers::ChargedTo;
use parlance_proto::json;
use prost_reflect::{DescriptorPool, FieldDescriptor};
use serde_json::{Map, Value, json};

use self::comments::comment;
use self::schema::Schemas;
use crate::anonymous;
use crate::answer::{Refusal, json_response};
use crate::rest::{Route, Routes};

const ABOUT: &str = "Every unary call of the contract `parlance.v1`. Field names, values and errors are those of \
                     its canonical proto3 JSON; fields with their default value are left out of answers.";

/// Statuses of errors, from `docs/errors.md`.
const REFUSALS: [(&str, &str); 10] = [
    ("400", "A field is not as it must be, or something else has to happen first."),
    ("401", "No token, or none that this server accepts."),
    ("403", "Not one's to do."),
    ("404", "No such room, user or message."),
    ("409", "The request id stands for something else."),
    ("413", "The body is too large."),
    ("415", "The body is no JSON."),
    ("429", "Too many requests, or a bound is reached. `Retry-After` says when to try again."),
    ("503", "The node cannot now. `Retry-After` says when to try again."),
    ("504", "It took too long. Whether it was carried out is open: a repeat with its id tells."),
];

/// Serves the document, without authentication: it is public.
pub(crate) async fn serve(request: Request) -> Response {
    if let Err(limited) = anonymous::charge(request.extensions(), request.headers()) {
        return Refusal::from(limited).into_response();
    }
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
        let routes = Routes::from_contract(json::pool());
        let routes = routes.unwrap_or_else(|error| unreachable!("the bridge has read them: {error}"));
        document(json::pool(), &routes).to_string().into()
    });
    let mut response = json_response(StatusCode::OK, DOCUMENT.clone());
    // It is in memory, whether or not anybody reads it.
    response.extensions_mut().insert(ChargedTo::nobody());
    response
}

fn document(pool: &DescriptorPool, routes: &Routes) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes.all() {
        let path = paths.entry(route.path()).or_insert_with(|| json!({}));
        path[route.method().as_str().to_ascii_lowercase()] = operation(route, pool, &mut schemas);
    }
    let error = schemas.reference_to(pool, "parlance.v1.Error");
    schemas.insert(
        "Refusal",
        json!({ "type": "object", "properties": { "error": error }, "required": ["error"] }),
    );
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Parlance", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas.into_map(),
        },
    })
}

fn operation(route: &Route, pool: &DescriptorPool, schemas: &mut Schemas) -> Value {
    let call = route.call();
    let in_path = route.path_fields();
    let of_path = |field: &FieldDescriptor| in_path.contains(field);
    let mut parameters: Vec<Value> = in_path.iter().map(|field| parameter(field, "path", schemas)).collect();
    let rest = route.input().fields().filter(|field| !of_path(field));
    let mut operation = json!({
        "operationId": route.operation_id(),
        "tags": [call.parent_service().name()],
        "summary": comment(call),
    });
    if route.takes_body() {
        let body = schemas.object(rest);
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": body } } });
    } else {
        parameters.extend(rest.map(|field| parameter(&field, "query", schemas)));
    }
    operation["parameters"] = parameters.into();
    let answer = schemas.reference_to(pool, route.output().full_name());
    let mut responses = json!({
        "200": { "description": comment(route.output()), "content": { "application/json": { "schema": answer } } },
    });
    for (status, description) in REFUSALS {
        let refusal = json!({ "$ref": "#/components/schemas/Refusal" });
        responses[status] =
            json!({ "description": description, "content": { "application/json": { "schema": refusal } } });
    }
    operation["responses"] = responses;
    operation
}

fn parameter(field: &FieldDescriptor, place: &str, schemas: &mut Schemas) -> Value {
    json!({
        "name": field.json_name(),
        "in": place,
        "required": place == "path",
        "description": comment(field),
        "schema": schemas.of_field(field),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        let routes = Routes::from_contract(json::pool()).unwrap();
        super::document(json::pool(), &routes)
    }

    #[test]
    fn every_route_is_an_operation_of_its_own() {
        let (document, routes) = (document(), Routes::from_contract(json::pool()).unwrap());
        let paths = document["paths"].as_object().unwrap();
        let ids: Vec<_> = paths
            .values()
            .flat_map(|path| path.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!((ids.len(), distinct.len()), (routes.all().count(), ids.len()));
    }

    #[test]
    fn an_operation_says_where_each_field_goes() {
        let document = document();
        let get = &document["paths"]["/v1/rooms/{roomId}/messages"]["get"];
        let parameters = get["parameters"].as_array().unwrap();
        let places: Vec<_> = parameters
            .iter()
            .map(|parameter| (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap()))
            .collect();
        let expected =
            [("roomId", "path"), ("beforeSeq", "query"), ("afterSeq", "query"), ("pageSize", "query")];
        assert_eq!(places, expected);
        let edit = &document["paths"]["/v1/rooms/{roomId}/messages/{seq}"]["patch"];
        let body = &edit["requestBody"]["content"]["application/json"]["schema"]["properties"];
        let fields: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["afterSeq", "data", "requestId", "text", "unsetData"]);
        assert!(edit["summary"].as_str().unwrap().starts_with("Replaces the text"));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
