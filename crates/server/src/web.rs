//! The web app, built into the binary.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

/// The output of `npm run build`; compressible files are also included as `.gz`.
#[derive(RustEmbed)]
#[folder = "../../clients/web/dist"]
struct WebApp;

/// Page shown by a server built without the web app.
const MISSING: &str = "<!doctype html><title>Parlance</title><p>This server was built without the web app: \
                       <code>make run</code> builds both.";

/// Only this server's own files run in the page, only the app's templates create markup, and no page may frame
/// it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types svelte-trusted-html parlance-worker";

/// Names in `assets/` contain a hash of the content: they never change.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Files next to the page. Their names are the same in every build: browsers revalidate them.
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

/// Serves a file, in an encoding that the browser accepts; without a body if it is cached there.
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
