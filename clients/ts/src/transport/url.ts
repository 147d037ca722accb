import { ConfigurationError } from "../errors.js";

/**
 * The URL of a server without a trailing slash. Throws a {@link ConfigurationError} for URLs that browsers and runtimes
 * cannot connect to.
 */
export function serverUrl(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (cause) {
    throw new ConfigurationError(`not a URL: ${url}`, { cause });
  }
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:") {
    throw new ConfigurationError(`the URL of a server begins with https:// or http://: ${url}`);
  }
  if (parsed.protocol === "http:" && globalThis.location?.protocol === "https:" && !isLoopback(parsed.hostname)) {
    throw new ConfigurationError(`a page over https cannot connect to a server over http: ${url}`);
  }
  return url.replace(/\/+$/, "");
}

/** Browsers trust these without TLS. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(\.\d+){3}$/.test(host);
}
