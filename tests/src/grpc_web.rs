use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use tonic::{Code, Status};

use crate::{Http, within};

/// Set in the first byte of a trailers frame.
const TRAILERS: u8 = 0x80;

/// A grpc-web call as made by a browser, implemented by hand: HTTP/1.1, messages
/// framed with a flag and a length, trailers as the last frame.
pub struct GrpcWeb {
    headers: HeaderMap,
    body: Incoming,
    read: BytesMut,
}

impl GrpcWeb {
    /// Calls `/package.Service/Method`.
    pub async fn call(http: &Http, token: Option<&str>, path: &str, request: &impl Message) -> Self {
        Self::call_encoded(http, token, path, &request.encode_to_vec()).await
    }

    /// Like [`Self::call`], with an encoded request.
    pub async fn call_encoded(http: &Http, token: Option<&str>, path: &str, message: &[u8]) -> Self {
        let length = u32::try_from(message.len()).expect("a request is small").to_be_bytes();
        let body = [&[0], length.as_slice(), message].concat();
        let mut call = http.call(Method::POST, path).body(body);
        for (name, value) in [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")] {
            call = call.header(name, value);
        }
        if let Some(token) = token {
            call = call.bearer(token);
        }
        let (parts, body) = call.open().await.expect("the server answers").into_parts();
        assert_eq!(parts.status, 200, "grpc-web answers are 200, whatever the call came to");
        Self { headers: parts.headers, body, read: BytesMut::new() }
    }

    /// The headers of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next message, or the status at the end.
    ///
    /// # Errors
    /// The code; OK on success.
    pub async fn message<M: Message + Default>(&mut self) -> Result<M, Code> {
        if let Some(status) = self.headers.get("grpc-status") {
            // An answer that consists of headers only.
            return Err(Code::from_bytes(status.as_bytes()));
        }
        let (flag, frame) = within("a frame comes", self.frame()).await;
        if flag & TRAILERS == 0 {
            return Ok(M::decode(frame).expect("the message is well formed"));
        }
        let trailers = String::from_utf8(frame.to_vec()).expect("trailers are text");
        let status = trailers.lines().find_map(|line| line.strip_prefix("grpc-status:"));
        Err(Code::from_bytes(status.expect("trailers hold the status").trim().as_bytes()))
    }

    /// The status of a unary call, ignoring its answer.
    pub async fn status(&mut self) -> Status {
        let of = |headers: &HeaderMap| Status::from_header_map(headers);
        if let Some(status) = of(&self.headers) {
            return status;
        }
        loop {
            let (flag, frame) = within("a frame comes", self.frame()).await;
            if flag & TRAILERS != 0 {
                let trailers = String::from_utf8(frame.to_vec()).expect("trailers are text");
                let trailers = trailers.lines().filter_map(|line| line.split_once(':'));
                let trailers = trailers.map(|(name, value)| {
                    let name = name.parse::<HeaderName>().expect("a name of a header");
                    (name, value.trim().parse::<HeaderValue>().expect("a value of a header"))
                });
                return of(&trailers.collect()).expect("trailers hold the status");
            }
        }
    }

    async fn frame(&mut self) -> (u8, Bytes) {
        loop {
            if let Some(head) = self.read.first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if self.read.len() >= 5 + length {
                    let flag = self.read.get_u8();
                    self.read.advance(4);
                    return (flag, self.read.split_to(length).freeze());
                }
            }
            let more = self.body.frame().await.expect("it ends with trailers").expect("it does not break");
            self.read.extend_from_slice(&more.into_data().expect("grpc-web has no trailers of HTTP's"));
        }
    }
}
