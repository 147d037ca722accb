import type { Owner } from "../room/owner.js";
import type { Session } from "../session/session.js";

const PAGE = 200;

/** Someone who is banned from a room. */
export interface Ban {
  readonly userId: string;
  /** When it ends by itself, in milliseconds since 1970; Infinity if it does not. */
  readonly until: number;
}

/** Whom the user blocks: read once, then kept up to date. Loaded on demand, since few clients show it. */
export class Blocks {
  readonly #session: Session;
  readonly #changed: (userIds: readonly string[]) => void;
  #userIds = new Set<string>();
  /** Changes while the list is read: they are newer than the list. */
  #meanwhile = new Map<string, boolean>();
  #loading: Promise<void> | undefined;
  #reading = new AbortController();

  constructor(session: Session, changed: (userIds: readonly string[]) => void) {
    [this.#session, this.#changed] = [session, changed];
    session.on("signal", ({ signal }) => {
      if (signal.case === "blockChanged") this.set(signal.value.userId, signal.value.blocked);
    });
    // Signals were missed without a connection.
    session.on("welcome", () => void this.load().catch(() => {}));
    session.on("replaced", () => this.#replace(new Set()));
  }

  load(): Promise<void> {
    return (this.#loading = this.#read());
  }

  set(userId: string, isBlocked: boolean): void {
    this.#meanwhile.set(userId, isBlocked);
    if (this.#userIds.has(userId) === isBlocked) return;
    this.#replace(after(this.#userIds, [[userId, isBlocked]]));
  }

  async #read(): Promise<void> {
    const meanwhile = (this.#meanwhile = new Map());
    // Its calls would be sent again on each connection, beside those of this one.
    this.#reading.abort();
    const { signal } = (this.#reading = new AbortController());
    const userIds = new Set<string>();
    let pageToken = "";
    try {
      do {
        const page = await this.#session.call("listBlocked", { pageSize: PAGE, pageToken }, { signal });
        for (const { userId } of page.blocks) userIds.add(userId);
        pageToken = page.nextPageToken;
      } while (pageToken);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    // A later read is more recent.
    if (signal.aborted) return this.#loading;
    this.#replace(after(userIds, meanwhile));
  }

  #replace(userIds: Set<string>): void {
    this.#userIds = userIds;
    this.#changed(Object.freeze([...userIds].sort()));
  }
}

function after(userIds: ReadonlySet<string>, changes: Iterable<readonly [string, boolean]>): Set<string> {
  const result = new Set(userIds);
  for (const [userId, isBlocked] of changes) isBlocked ? result.add(userId) : result.delete(userId);
  return result;
}

/**
 * Who is banned from a room: in the same module, since it is loaded on demand, too. It imports nothing, so that a bundle needs no common
 * part.
 *
 * @internal
 */
export async function bansOf(client: Owner, roomId: string, signal?: AbortSignal): Promise<readonly Ban[]> {
  const bans: Ban[] = [];
  let pageToken = "";
  do {
    const page = await client.call("listBans", { roomId, pageSize: PAGE, pageToken }, signal);
    bans.push(...page.members.map(({ userId, bannedUntil: until }) => ({ userId, until: until ? Number(until.seconds) * 1_000 + until.nanos / 1e6 : Infinity })));
    pageToken = page.nextPageToken;
  } while (pageToken);
  return bans;
}
