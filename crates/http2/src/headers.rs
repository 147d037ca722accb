use http::{HeaderMap, HeaderName, HeaderValue, Request};

use crate::limits::{FIELD_BYTES, MAX_FIELDS};

/// Whether a request has more header fields than any client sends. It is refused, and nothing of it is kept: a field may
/// have one byte on the wire.
pub fn has_too_many_fields(headers: &HeaderMap) -> bool {
    headers.len() > MAX_FIELDS
}

/// Bytes that the headers of a request and its path take in memory.
pub fn header_bytes<B>(request: &Request<B>) -> usize {
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let field = |(name, value): (&HeaderName, &HeaderValue)| FIELD_BYTES + name.as_str().len() + value.len();
    path + request.headers().iter().map(field).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_takes_memory_beside_its_bytes() {
        let mut request = Request::get("http://localhost/path").body(()).unwrap();
        assert_eq!(header_bytes(&request), 5);
        for _ in 0..MAX_FIELDS {
            request.headers_mut().append("name", HeaderValue::from_static("value"));
        }
        assert!(!has_too_many_fields(request.headers()));
        assert_eq!(header_bytes(&request), 5 + MAX_FIELDS * (9 + FIELD_BYTES));
        request.headers_mut().append("name", HeaderValue::from_static(""));
        assert!(has_too_many_fields(request.headers()));
    }
}
