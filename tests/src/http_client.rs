use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::within;

/// Plain HTTP/1.1 to one address.
#[derive(Clone)]
pub struct Http {
    address: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A request to be sent.
pub struct Call<'h> {
    http: &'h Http,
    builder: http::request::Builder,
    body: Bytes,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Http {
    /// Creates a client of `host:port`.
    pub fn new(address: String) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// A GET.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    /// Any method.
    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        let builder = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        Call { http: self, builder, body: Bytes::new() }
    }
}

impl Call<'_> {
    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    /// Authenticates with this token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a raw body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends it, and reads the whole answer.
    ///
    /// # Errors
    /// A connection that cannot be made or breaks.
    pub async fn send(self) -> Result<Answer, hyper_util::client::legacy::Error> {
        let response = self.open().await?;
        let (parts, body) = response.into_parts();
        let body = within("the body comes", body.collect()).await.expect("the body comes whole");
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes() })
    }

    /// Sends it, and returns before the body is read.
    ///
    /// # Errors
    /// A connection that cannot be made or breaks.
    pub async fn open(self) -> Result<http::Response<Incoming>, hyper_util::client::legacy::Error> {
        let request = self.builder.body(Full::new(self.body)).expect("the request is well formed");
        within("the answer comes", self.http.client.request(request)).await
    }

    /// Sends it; the server must be reachable.
    pub async fn answer(self) -> Answer {
        self.send().await.expect("the server answers")
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Status and stable reason of an error.
    pub fn refused(&self) -> (u16, String) {
        let reason = self.json()["error"]["reason"].as_str().map(ToOwned::to_owned);
        (self.status, reason.unwrap_or_else(|| panic!("no error: {self:?}")))
    }
}
