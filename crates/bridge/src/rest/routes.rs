use std::sync::Arc;

use http::Method;
use parlance_proto::error::Failure;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value,
};

use super::template::{self, Template};

/// All calls that have a REST form.
#[derive(Debug)]
pub(crate) struct Routes(Vec<Arc<Route>>);

/// One REST form of a unary call.
#[derive(Debug)]
pub(crate) struct Route {
    method: Method,
    template: Template,
    rpc: String,
    call: MethodDescriptor,
    /// Index among the forms of the call; 0 is the first.
    form: usize,
    input: MessageDescriptor,
    output: MessageDescriptor,
    takes_body: bool,
}

/// A contract whose annotations cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{rpc}: {reason}")]
pub(crate) struct RouteError {
    rpc: String,
    reason: String,
}

/// The fields that a path sets in the request, or the problem with it.
pub(crate) type Bound = Result<Vec<(FieldDescriptor, Value)>, Failure>;

impl Route {
    /// `/package.Service/Method`.
    pub(crate) fn rpc(&self) -> &str {
        &self.rpc
    }

    pub(crate) fn input(&self) -> &MessageDescriptor {
        &self.input
    }

    pub(crate) fn output(&self) -> &MessageDescriptor {
        &self.output
    }

    /// The body is the whole request, and there is no query; otherwise the reverse.
    pub(crate) fn takes_body(&self) -> bool {
        self.takes_body
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    /// Its path, with the JSON names of fields in braces.
    pub(crate) fn path(&self) -> String {
        self.template.to_string()
    }

    /// Its path in the router's syntax.
    pub(super) fn pattern(&self) -> String {
        self.template.pattern()
    }

    /// The fields that `path`, which must match, sets in the request.
    pub(super) fn bind(&self, path: &str) -> Bound {
        self.template.bind(&template::split(path))
    }

    /// The fields of the request that are in the path.
    pub(crate) fn path_fields(&self) -> Vec<FieldDescriptor> {
        self.template.fields().cloned().collect()
    }

    pub(crate) fn call(&self) -> &MethodDescriptor {
        &self.call
    }

    /// A unique name of the operation.
    pub(crate) fn operation_id(&self) -> String {
        match self.form {
            0 => self.call.name().to_owned(),
            form => format!("{}{}", self.call.name(), form + 1),
        }
    }

    /// Reads one `google.api.HttpRule`.
    fn from_rule(call: &MethodDescriptor, form: usize, rule: &DynamicMessage) -> Result<Self, String> {
        let text = |name: &str| match rule.get_field_by_name(name).as_deref() {
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        };
        let methods = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];
        let mut patterns = methods.into_iter().filter_map(|method| {
            let path = text(&method.as_str().to_ascii_lowercase());
            (!path.is_empty()).then_some((method, path))
        });
        let (method, path) = patterns.next().ok_or("names no path")?;
        if call.is_client_streaming() || call.is_server_streaming() {
            return Err("is a stream".to_owned());
        }
        let takes_body = match text("body").as_str() {
            "" => false,
            "*" => true,
            part => return Err(format!("a body that is `{part}` alone is not supported")),
        };
        let template = Template::parse(&path, &call.input()).map_err(|reason| format!("{path}: {reason}"))?;
        let rpc = format!("/{}/{}", call.parent_service().full_name(), call.name());
        let (input, output) = (call.input(), call.output());
        Ok(Self { method, template, rpc, call: call.clone(), form, input, output, takes_body })
    }
}

impl Routes {
    /// Reads the annotations of every call, additional bindings included.
    pub(crate) fn from_contract(pool: &DescriptorPool) -> Result<Self, RouteError> {
        let mut routes = Vec::new();
        let Some(http) = pool.get_extension_by_name("google.api.http") else {
            return Err(RouteError {
                rpc: "google.api.http".to_owned(),
                reason: "is not in the contract".to_owned(),
            });
        };
        for call in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let options = call.options();
            let rule = options.get_extension(&http);
            let Some(rule) = rule.as_message().filter(|_| options.has_extension(&http)) else { continue };
            let additional = rule.get_field_by_name("additional_bindings");
            let additional = additional.as_deref().and_then(Value::as_list).unwrap_or_default();
            let rules = std::iter::once(rule).chain(additional.iter().filter_map(Value::as_message));
            for (form, rule) in rules.enumerate() {
                let route = Route::from_rule(&call, form, rule);
                let route =
                    route.map_err(|reason| RouteError { rpc: call.full_name().to_owned(), reason })?;
                routes.push(Arc::new(route));
            }
        }
        Ok(Self(routes))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use parlance_proto::json;

    use super::*;

    #[test]
    fn every_unary_call_has_a_rest_form() {
        let routes = Routes::from_contract(json::pool()).unwrap();
        for call in json::pool().services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let rpc = format!("/{}/{}", call.parent_service().full_name(), call.name());
            let is_stream = call.is_client_streaming() || call.is_server_streaming();
            assert_eq!(routes.0.iter().any(|route| route.rpc == rpc), !is_stream, "{rpc}");
        }
    }
}
