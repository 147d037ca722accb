import { shared } from "./storage";

const KEY = "parlance:image-origins";

/**
 * Whether a picture may be loaded. `sources` are the origins that the operator allows, and `https:` for any with TLS: the host of a
 * picture learns who looks at it.
 */
export function mayLoad(picture: string, sources: readonly string[]): boolean {
  const url = parsed(picture);
  if (url?.protocol !== "https:" && url?.protocol !== "http:") return false;
  return sources.some((source) => (source === "https:" ? url.protocol === source : parsed(source)?.origin === url.origin));
}

function parsed(url: string): URL | undefined {
  try {
    return new URL(url);
  } catch {
    return undefined;
  }
}

/** Which pictures of users and rooms are shown. The page's security policy allows no others. */
export class Pictures {
  /** As of the last visit until the server has said it. */
  #sources = $state.raw<readonly string[]>(shared.get(KEY)?.split(" ") ?? []);

  /** Whether there are any. */
  get areShown(): boolean {
    return this.#sources.length > 0;
  }

  /** A picture's URL, if it may be loaded. */
  of(picture: string | undefined): string | undefined {
    return picture && mayLoad(picture, this.#sources) ? picture : undefined;
  }

  /** The origins that the server allows. */
  allow(imageOrigins: readonly string[]): void {
    this.#sources = imageOrigins;
    if (imageOrigins.length > 0) shared.set(KEY, imageOrigins.join(" "));
    else shared.remove(KEY);
  }
}
