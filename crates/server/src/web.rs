//! The web app, built into the binary.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

/// What `npm run build` made; files that are smaller compressed are there as `.gz` too.
#[derive(RustEmbed)]
#[folder = "../../clients/web/dist"]
struct WebApp;

/// Instead of it in a server that was built without.
const MISSING: &str = "<!doctype html><title>Parlance</title><p>This server was built without the web app: \
                       <code>make run</code> builds both.";

/// Nothing but this server's own files runs in the page, nothing becomes markup but by the
/// templates of the app, and nothing frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types svelte-trusted-html parlance-worker";

/// A name in `assets/` has its content in it: it never means anything else.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Files beside the page. Their names stay the same from build to build: browsers ask whether they have changed.
const BESIDE: [&str; 6] =
    ["icon.svg", "icon-180.png", "icon-512.png", "icon-maskable-512.png", "manifest.webmanifest", "sw.js"];

pub(crate) fn router() -> Router {
    let router = Router::new()
        .route("/", get(|headers: HeaderMap| async move { page(&headers) }))
        .route("/assets/{name}", get(asset));
    BESIDE.into_iter().fold(router, |router, name| {
        router.route(
            &format!("/{name}"),
            get(move |headers: HeaderMap| async move { file(name, "no-cache", &headers) }),
        )
    })
}

fn page(headers: &HeaderMap) -> Response {
    if WebApp::get("index.html").is_none() {
        return ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], MISSING).into_response();
    }
    file("index.html", "no-cache", headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    file(&format!("assets/{name}"), FOREVER, &headers)
}

/// A file as the browser takes it; nothing of it where the browser has it already.
fn file(name: &str, cache: &'static str, asked: &HeaderMap) -> Response {
    let Some(plain) = WebApp::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = entity_tag(&plain);
    let common: [(HeaderName, &str); 7] = [
        (header::CONTENT_TYPE, plain.metadata.mimetype()),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, cache),
        (header::VARY, "accept-encoding"),
        (header::ETAG, &tag),
    ];
    let has = |name: HeaderName, value: &str| {
        asked.get_all(name).iter().any(|header| header.to_str().is_ok_and(|header| header.contains(value)))
    };
    if has(header::IF_NONE_MATCH, &tag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    match WebApp::get(&format!("{name}.gz")).filter(|_| has(header::ACCEPT_ENCODING, "gzip")) {
        Some(gzip) => (common, [(header::CONTENT_ENCODING, "gzip")], gzip.data).into_response(),
        None => (common, plain.data).into_response(),
    }
}

/// Weak: the same for the plain file and the compressed one.
fn entity_tag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{hex}\"")
}
