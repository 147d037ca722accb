use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use super::answers::{self, Answer};
use super::past::{Past, may_be_stale};
use super::plan::{Fault, Plan};
use super::shards::{Shards, Upstream};
use super::tally::Tally;
use super::worker::Worker;

/// The emulator requires a signature, but does not verify it.
const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=local/20260101/local/dynamodb/aws4_request, \
    SignedHeaders=host;x-amz-date;x-amz-target, Signature=0";

/// A proxy that injects the faults of its plan. Stops when dropped; requests in flight are cut off.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _worker: Worker,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    plan: Plan,
    past: Past,
    shards: Shards,
    tally: Mutex<Tally>,
}

/// The connection has to be closed.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
struct Cut;

impl Proxy {
    /// Listens on `address` (port 0 for a free one) in front of an endpoint at `upstream`.
    pub fn start(address: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            plan: Plan::default(),
            past: Past::default(),
            shards: Shards::default(),
            tally: Mutex::default(),
        });
        let serving = shared.clone();
        let worker = Worker::start("dynamodb-proxy", listener, move |listener| serve(listener, serving))?;
        Ok(Self { address, shared, _worker: worker })
    }

    /// The listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The listening address, as a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The fault plan.
    pub fn plan(&self) -> Plan {
        self.shared.plan.clone()
    }

    /// The streams of the tables.
    pub fn shards(&self) -> Shards {
        self.shared.shards.clone()
    }

    /// Switches the stream of a table off or on, by a request that meets no faults.
    pub async fn switch_stream(&self, table: &str, on: bool) {
        let mut wanted = json!({ "StreamEnabled": on });
        if on {
            wanted["StreamViewType"] = "KEYS_ONLY".into();
        }
        let request = json!({ "TableName": table, "StreamSpecification": wanted });
        self.shared.request("DynamoDB_20120810.UpdateTable", request).await;
    }

    /// Statistics of requests so far.
    pub fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }
}

async fn serve(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| handle(shared.clone(), request));
            // Connections that end early are the purpose of this proxy.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    // In its own task: it continues after the caller has gone.
    let task = tokio::spawn(async move { shared.decide(head.headers, body).await });
    task.await.unwrap_or(Err(Cut))
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn decide(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, Cut> {
        let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.rsplit('.').next()).unwrap_or_default().to_owned();
        self.tally().request(&operation);
        let answer = self.answer(&operation, headers, body).await;
        self.tally().ended();
        answer
    }

    /// Answers according to the plan.
    async fn answer(&self, operation: &str, headers: HeaderMap, body: Bytes) -> Result<Answer, Cut> {
        let fault = self.plan.strike(operation);
        if let Some(fault) = fault {
            self.tally().struck(operation, fault.name());
            if let Some(refusal) = answers::refusal(fault, operation, &body) {
                return Ok(refusal);
            }
        }
        match fault {
            Some(Fault::Cut) => Err(Cut),
            Some(Fault::LoseAnswer) => {
                self.forward(operation, headers, body).await?;
                Err(Cut)
            }
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                self.forward(operation, headers, body).await
            }
            Some(Fault::PartialBatch) => self.half(operation, headers, body).await,
            _ => self.maybe_past(operation, headers, body).await,
        }
    }

    /// Answers from the past, where allowed.
    async fn maybe_past(&self, operation: &str, headers: HeaderMap, body: Bytes) -> Result<Answer, Cut> {
        let Some(age) = self.plan.past().filter(|_| may_be_stale(operation, &body)) else {
            return self.forward(operation, headers, body).await;
        };
        if let Some(old) = self.past.answer(operation, &body, age) {
            self.tally().struck(operation, "past");
            return Ok(Answer::new(Full::new(old)));
        }
        let answer = self.forward(operation, headers, body.clone()).await?;
        let (head, found) = answer.into_parts();
        let found = found.collect().await.map_err(|_| Cut)?.to_bytes();
        if head.status == StatusCode::OK {
            self.past.remember(operation, &body, found.clone());
        }
        Ok(Answer::from_parts(head, Full::new(found)))
    }

    /// Executes half of a batch.
    async fn half(&self, operation: &str, headers: HeaderMap, body: Bytes) -> Result<Answer, Cut> {
        let Some((half, left)) = answers::split_batch(&body) else {
            return self.forward(operation, headers, body).await;
        };
        let answer = self.forward(operation, headers, half).await?;
        let done = answer.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
        answers::with_unprocessed(&done, left).ok_or(Cut)
    }

    /// Moves the date of an answer according to the plan.
    fn set_date(&self, headers: &mut HeaderMap) {
        let date =
            headers.get(header::DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let moved = date.map(|date| httpdate::fmt_http_date(date + self.plan.clock_ahead()));
        if let Some(date) = moved.and_then(|date| date.parse().ok()) {
            headers.insert(header::DATE, date);
        }
    }

    async fn forward(&self, operation: &str, headers: HeaderMap, body: Bytes) -> Result<Answer, Cut> {
        match self.shards.answer(operation, &body, self).await {
            Some(answer) => Ok(answer),
            None => self.pass_on(operation, headers, body).await,
        }
    }

    async fn pass_on(&self, operation: &str, mut headers: HeaderMap, body: Bytes) -> Result<Answer, Cut> {
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::CONNECTION);
        let uri = Uri::builder().scheme("http").authority(self.upstream.to_string()).path_and_query("/");
        let mut request = Request::post(uri.build().map_err(|_| Cut)?);
        if let Some(all) = request.headers_mut() {
            *all = headers;
        }
        let request = request.body(Full::new(body)).map_err(|_| Cut)?;
        let answer = self.client.request(request).await.map_err(|_| Cut)?;
        let (mut head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        head.headers.remove(header::TRANSFER_ENCODING);
        self.set_date(&mut head.headers);
        self.tally().answer(operation, &body);
        Ok(Answer::from_parts(head, Full::new(body)))
    }
}

impl Upstream for Shared {
    async fn request(&self, target: &str, body: Value) -> Option<Value> {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-target", target.parse().ok()?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(SIGNED));
        headers.insert("x-amz-date", HeaderValue::from_static("20260101T000000Z"));
        // Not counted: the caller has not sent it.
        let answer = self.pass_on("", headers, Bytes::from(body.to_string())).await.ok()?;
        let is_ok = answer.status() == StatusCode::OK;
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        serde_json::from_slice(&body).ok().filter(|_| is_ok)
    }
}
