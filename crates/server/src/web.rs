//! The web app, built into the binary.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use parlance_peers::ChargedTo;
use rust_embed::{EmbeddedFile, RustEmbed};
use tower::util::MapResponseLayer;

use crate::paced::uncounted;

/// The output of `npm run build`; compressible files are also included as `.gz`.
#[derive(RustEmbed)]
#[folder = "../../clients/web/dist"]
struct WebApp;

/// Page shown by a server built without the web app.
const MISSING: &str = "<!doctype html><title>Parlance</title><p>This server was built without the web app: \
                       <code>make run</code> builds both.";

/// Only this server's own files run in the page, only the app's templates create markup, and no page may frame
/// it. The sources of pictures follow at the end.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types svelte-trusted-html parlance-worker; img-src 'self'";

/// Names in `assets/` contain a hash of the content: they never change.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Files next to the page. Their names are the same in every build: browsers revalidate them.
const BESIDE: [&str; 6] =
    ["icon.svg", "icon-180.png", "icon-512.png", "icon-maskable-512.png", "manifest.webmanifest", "sw.js"];

/// The routes of the app, whose page shows pictures of these origins.
///
/// # Errors
/// If the origins cannot be part of a header.
pub(crate) fn router(image_origins: &[String]) -> anyhow::Result<Router> {
    let policy = HeaderValue::try_from(format!("{} {}", POLICY, image_origins.join(" ")).trim_end())?;
    let router = Router::new().route("/", get(page)).route("/assets/{name}", get(asset));
    let beside = |name: &'static str| {
        get(move |State(policy): State<HeaderValue>, headers: HeaderMap| async move {
            file(name, "no-cache", policy, &headers)
        })
    };
    let router =
        BESIDE.into_iter().fold(router, |router, name| router.route(&format!("/{name}"), beside(name)));
    Ok(router.layer(MapResponseLayer::new(uncounted)).with_state(policy))
}

async fn page(State(policy): State<HeaderValue>, headers: HeaderMap) -> Response {
    if WebApp::get("index.html").is_none() {
        return ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], MISSING).into_response();
    }
    file("index.html", "no-cache", policy, &headers)
}

async fn asset(State(policy): State<HeaderValue>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    file(&format!("assets/{name}"), FOREVER, policy, &headers)
}

/// Serves a file, in an encoding that the browser accepts; without a body if it is cached there. Those who do not read
/// it hold nothing: it is part of the program.
fn file(name: &str, cache: &'static str, policy: HeaderValue, asked: &HeaderMap) -> Response {
    let Some(plain) = WebApp::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = entity_tag(&plain);
    let policy = [(header::CONTENT_SECURITY_POLICY, policy)];
    let common: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, plain.metadata.mimetype()),
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
        return (StatusCode::NOT_MODIFIED, policy, common).into_response();
    }
    let uncharged = Extension(ChargedTo::nobody());
    match WebApp::get(&format!("{name}.gz")).filter(|_| has(header::ACCEPT_ENCODING, "gzip")) {
        Some(gzip) => {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            (policy, common, encoding, uncharged, gzip.data).into_response()
        }
        None => (policy, common, uncharged, plain.data).into_response(),
    }
}

/// Weak: the same for the plain file and the compressed one.
fn entity_tag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use parlance_peers::{Ledger, Limits, Peer, Proxies};

    use super::*;

    #[test]
    fn files_that_nobody_reads_hold_nothing() {
        let Some(name) = WebApp::iter().find(|name| !name.ends_with(".gz")) else { return };
        let ledger = Ledger::new(Limits::production(8), Proxies::default());
        let address = Ipv4Addr::LOCALHOST.into();
        let peer = Peer::new(address, ledger.connect(address).unwrap());
        let mut response = file(&name, FOREVER, HeaderValue::from_static(POLICY), &HeaderMap::new());
        let (budget, reserved) = peer.charged(response.extensions_mut());
        let _held = budget.hold(1_000);
        assert_eq!((response.status(), ledger.held()), (StatusCode::OK, 0));
        assert!(reserved.is_none());
    }
}
