import type { Client } from "@parlance/client";

const PAGE = 200;
/** Members beyond this many are not read: a list of ids for completion is not worth more calls. */
const MOST = 10_000;

/** The ids of all members of a room, read when they are first wanted and kept up to date from then on. */
export class Roster {
  readonly #client: Client;
  readonly #roomId: string;
  #off: (() => void) | undefined;
  userIds = $state.raw<ReadonlySet<string>>(new Set());

  constructor(client: Client, roomId: string) {
    [this.#client, this.#roomId] = [client, roomId];
  }

  /** Reads them, once. A failure is not kept: the next call reads again. */
  load(): void {
    if (this.#off) return;
    this.#off = this.#client.on("event", ({ roomId, body }) => {
      if (roomId !== this.#roomId) return;
      if (body.case === "memberAdded") this.#change((all) => all.add(body.value.userId));
      else if (body.case === "memberRemoved") this.#change((all) => all.delete(body.value.userId));
    });
    this.#read().catch(() => this.stop());
  }

  stop(): void {
    this.#off?.();
    this.#off = undefined;
  }

  async #read(): Promise<void> {
    let pageToken = "";
    do {
      const page = await this.#client.call("listMembers", { roomId: this.#roomId, pageSize: PAGE, pageToken });
      if (!this.#off) return;
      this.#change((all) => page.members.forEach(({ userId }) => all.add(userId)));
      pageToken = page.nextPageToken;
    } while (pageToken && this.userIds.size < MOST);
  }

  #change(work: (all: Set<string>) => void): void {
    const all = new Set(this.userIds);
    work(all);
    this.userIds = all;
  }
}
