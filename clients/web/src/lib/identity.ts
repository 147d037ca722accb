import { type PageStorage, shared, tab } from "./storage";
import { texts } from "./texts";

/** The user of this tab. */
export interface Identity {
  readonly userId: string;
  /** Undefined in local mode: the server issues one for each connection. */
  readonly token: string | undefined;
}

const KEY = "parlance:identity";

/** The server requires an external token. */
export class NeedsToken extends Error {}

/**
 * The signed-in user. A name belongs to its tab, so a second tab can be a second user; a token to the
 * browser, if requested.
 */
export function remembered(): Identity | undefined {
  return parsed(tab.get(KEY)) ?? parsed(shared.get(KEY));
}

export function remember(identity: Identity, storage: PageStorage): void {
  storage.set(KEY, JSON.stringify(identity));
}

/** Signs the user out here. */
export function forget(): void {
  tab.remove(KEY);
  shared.remove(KEY);
}

/** A token is no longer accepted. One that another tab has stored since is kept. */
export function forgetToken(refused: string | undefined): void {
  for (const storage of [tab, shared]) if (parsed(storage.get(KEY))?.token === refused) storage.remove(KEY);
}

/** The token stored by another tab in this browser for the same user. */
export function sharedToken(userId: string): string | undefined {
  const stored = parsed(shared.get(KEY));
  return stored?.userId === userId ? stored.token : undefined;
}

/** Other versions or programs may have written something else there. */
function parsed(stored: string | undefined): Identity | undefined {
  try {
    const { userId, token } = JSON.parse(stored ?? "{}") as Partial<Record<keyof Identity, unknown>>;
    if (typeof userId !== "string" || userId === "") return undefined;
    return token === undefined || typeof token === "string" ? { userId, token } : undefined;
  } catch {
    return undefined;
  }
}

/** How users sign in: by a name, or by an external token. */
export type SignInMode = "name" | "token";

/** The server's sign-in mode. Rejects if it cannot be reached. */
export async function signInMode(signal?: AbortSignal): Promise<SignInMode> {
  const response = await fetch("v1/server", signal ? { signal } : {});
  if (!response.ok) throw new TypeError(`unexpected status ${response.status}`);
  const { signIn } = (await response.json()) as { signIn?: unknown };
  return signIn === "SIGN_IN_NAME" ? "name" : "token";
}

/** A token after the `#` of the URL, from an external sign-in page. It is removed from there. */
export function tokenFromAddress(): string | undefined {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return undefined;
  history.replaceState(null, "", location.pathname);
  return token;
}

/** A user with this name, and a token for them: in local mode anyone may be anyone. */
export async function localUser(userId: string, name: string): Promise<{ userId: string; token: string }> {
  const headers = { "content-type": "application/json" };
  const response = await fetch("v1/users", { method: "POST", headers, body: JSON.stringify({ userId, name }) });
  const body = await response.json().catch(() => ({}));
  if (response.status === 401 || (response.ok && !body.token)) throw new NeedsToken("this server asks for a token");
  if (!response.ok) throw new Error(body.error?.message ?? texts.signIn.answered(response.status));
  return { userId: body.user.userId, token: body.token };
}

/** A readable id. Empty if nothing is left of the name: then the server generates one. */
export function idOf(name: string): string {
  const plain = name.normalize("NFKD").replace(/\p{Mark}+/gu, "");
  const letters = plain.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return letters.replace(/^-+|-+$/g, "").slice(0, 64);
}

/** The subject of a token, without verification: the server decides. */
export function subjectOf(token: string): string | undefined {
  try {
    const payload = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const { sub } = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (char) => char.charCodeAt(0))));
    return typeof sub === "string" && sub !== "" ? sub : undefined;
  } catch {
    return undefined;
  }
}
