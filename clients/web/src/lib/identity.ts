import { type PageStorage, shared, tab } from "./storage";
import { texts } from "./texts";

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
  return parsed(tab.get(KEY)) ?? parsed(shared.get(KEY));
}

export function remember(identity: Identity, storage: PageStorage): void {
  storage.set(KEY, JSON.stringify(identity));
}

/** Whoever is signed in here is so no more. */
export function forget(): void {
  tab.remove(KEY);
  shared.remove(KEY);
}

/** A token is accepted no more. What another tab has signed in with since stays. */
export function forgetToken(refused: string | undefined): void {
  for (const storage of [tab, shared]) if (parsed(storage.get(KEY))?.token === refused) storage.remove(KEY);
}

/** The token that another tab has left in the browser for the same person. */
export function sharedToken(userId: string): string | undefined {
  const stored = parsed(shared.get(KEY));
  return stored?.userId === userId ? stored.token : undefined;
}

/** What another version, or another program, may have written there. */
function parsed(stored: string | undefined): Identity | undefined {
  try {
    const { userId, token } = JSON.parse(stored ?? "{}") as Partial<Record<keyof Identity, unknown>>;
    if (typeof userId !== "string" || userId === "") return undefined;
    return token === undefined || typeof token === "string" ? { userId, token } : undefined;
  } catch {
    return undefined;
  }
}

/** Who may sign in: whoever has a name, or whoever has a token that the server did not make. */
export type SignInMode = "name" | "token";

/** How the server wants to be signed in to. Rejects if it cannot be reached. */
export async function signInMode(signal?: AbortSignal): Promise<SignInMode> {
  const response = await fetch("v1/server", signal ? { signal } : {});
  if (!response.ok) throw new TypeError(`unexpected status ${response.status}`);
  const { signIn } = (await response.json()) as { signIn?: unknown };
  return signIn === "SIGN_IN_NAME" ? "name" : "token";
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
  const headers = { "content-type": "application/json" };
  const response = await fetch("v1/users", { method: "POST", headers, body: JSON.stringify({ userId, name }) });
  const body = await response.json().catch(() => ({}));
  if (response.status === 401 || (response.ok && !body.token)) throw new NeedsToken("this server asks for a token");
  if (!response.ok) throw new Error(body.error?.message ?? texts.signIn.answered(response.status));
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
    return typeof sub === "string" && sub !== "" ? sub : undefined;
  } catch {
    return undefined;
  }
}
