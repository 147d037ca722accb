/**
 * The service worker: opens the app while its server cannot be reached. `vite/worker.ts` replaces the constants below.
 *
 * The page comes from the server as long as that answers, so a new build is used on the next load. A whole build is
 * cached, its page and its files. The names of assets contain a hash of their content, so that no page gets another
 * build's script, and a page opened before an update still finds its own. Answers of the API are not cached.
 */
const BUILD = "__BUILD__";
/** SHA-256 of the page, hexadecimal: another node may serve another build. */
const PAGE_DIGEST = "__PAGE_DIGEST__";
/** All other files, relative to the page. */
const FILES = "__FILES__";

/** Earlier builds that are kept: their pages may still be open. */
const EARLIER_BUILDS = 1;
/** Timeout after which a server counts as unavailable. */
const PATIENCE_MS = 4_000;

const scope = new URL(self.registration.scope);
const prefix = `parlance-app:${scope.href}:`;
const cacheName = prefix + BUILD;

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== scope.origin || !pathname.startsWith(scope.pathname)) return;
  const name = pathname.slice(scope.pathname.length);
  if (request.mode === "navigate") {
    if (name === "") event.respondWith(page(request));
  } else if (name.startsWith("assets/")) event.respondWith(asset(request));
  else if (FILES.includes(name)) event.respondWith(other(request));
});

async function install() {
  const page = await fetch(scope.href, { cache: "no-store" });
  if (!page.ok || (await digestOf(page.clone())) !== PAGE_DIGEST) throw new Error("the page is of another build");
  const cache = await caches.open(cacheName);
  // Assets never change, so the browser's own cached copies can be used.
  await cache.addAll(FILES.map((name) => new Request(name, { cache: name.startsWith("assets/") ? "default" : "no-cache" })));
  // Last: if the page is cached, all of its files are.
  await cache.put(scope.href, page);
  await self.skipWaiting();
}

async function activate() {
  const earlier = (await caches.keys()).filter((name) => name.startsWith(prefix) && name !== cacheName);
  await Promise.all(earlier.slice(0, -EARLIER_BUILDS).map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function page(request) {
  const answer = fetch(request).catch(() => undefined);
  const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
  if (first && isOfServer(first)) return first;
  const kept = await caches.match(scope.href, { cacheName, ignoreVary: true });
  return kept ?? (await answer) ?? Response.error();
}

/** Whether an answer should be shown: the page, or a proxy's sign-in. Others are from a proxy whose server is
 * unavailable. */
function isOfServer({ ok, type, status }) {
  return ok || type === "opaqueredirect" || status === 401 || status === 403;
}

async function asset(request) {
  return (await caches.match(request, { ignoreVary: true })) ?? fetch(request);
}

async function other(request) {
  try {
    return await fetch(request);
  } catch {
    return (await caches.match(request, { cacheName, ignoreVary: true })) ?? Response.error();
  }
}

async function digestOf(response) {
  const digest = await crypto.subtle.digest("SHA-256", await response.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
