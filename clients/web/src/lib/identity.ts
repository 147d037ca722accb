/** Who uses this tab. */
export interface Identity {
  readonly userId: string;
  /** In local mode there is none to keep: the server makes one at each connection. */
  readonly token: string | undefined;
}

const KEY = "parlance:identity";

/** The server wants a token that it did not make. */
export class NeedsToken extends Error {}

/**
 * Whoever signed in here. A name belongs to its tab, so that a second tab is a second person; a
 * token to the browser, if that was wished.
 */
export function remembered(): Identity | undefined {
  const stored = sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);
  return stored === null ? undefined : (JSON.parse(stored) as Identity);
}

export function remember(identity: Identity, storage: Storage): void {
  storage.setItem(KEY, JSON.stringify(identity));
}

export function forget(): void {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}

/** A token behind the `#` of the address, from a page that signs people in. It does not stay there. */
export function tokenFromAddress(): string | undefined {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return undefined;
  history.replaceState(null, "", location.pathname);
  return token;
}

/** A person of this name, and a token for them: in local mode anyone may be anyone. */
export async function localUser(userId: string, name: string): Promise<{ userId: string; token: string }> {
  const response = await fetch("/v1/users", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ userId, name }),
  });
  const body = await response.json().catch(() => ({}));
  if (response.status === 401 || (response.ok && !body.token)) throw new NeedsToken("this server asks for a token");
  if (!response.ok) throw new Error(body.error?.message ?? `the server answered ${response.status}`);
  return { userId: body.user.userId, token: body.token };
}

/** An id that a person can still read. Empty where nothing is left of the name: then the server makes one. */
export function idOf(name: string): string {
  const plain = name.normalize("NFKD").replace(/\p{Mark}+/gu, "");
  const letters = plain.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return letters.replace(/^-+|-+$/g, "").slice(0, 64);
}

/** Whom a token names, as far as can be seen from here: the server decides. */
export function subjectOf(token: string): string | undefined {
  try {
    const payload = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const { sub } = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (char) => char.charCodeAt(0))));
    return typeof sub === "string" ? sub : undefined;
  } catch {
    return undefined;
  }
}
