import { type Client, v1 } from "@parlance/client";
import { type DirectoryChannel, listDirectory } from "@parlance/client/directory";

import { joiningOf } from "./joining";

/** Channels of the directory whose title begins as was typed, a part at a time. */
export class Directory {
  readonly #client: Client;
  readonly #part: number;
  #list: AsyncGenerator<DirectoryChannel, void> | undefined;
  #search = new AbortController();
  /** Read already, to know whether there is more. */
  #next: DirectoryChannel | undefined;
  channels = $state.raw<readonly DirectoryChannel[]>([]);
  hasMore = $state(false);
  isLoading = $state(true);
  /** How the titles begin. */
  prefix = $state("");
  error = $state.raw<unknown>();

  /** `part` channels are shown first, and as many more when they are asked for. */
  constructor(client: Client, part = 30) {
    [this.#client, this.#part] = [client, part];
  }

  /** Searches anew; what was found before is shown until there is an answer. */
  async search(prefix: string): Promise<void> {
    this.stop();
    this.prefix = prefix;
    this.#search = new AbortController();
    this.#list = listDirectory(this.#client, { titlePrefix: prefix, pageSize: this.#part + 1, signal: this.#search.signal });
    this.#next = undefined;
    await this.#read([]);
  }

  async more(): Promise<void> {
    if (!this.isLoading) await this.#read(this.channels);
  }

  /** Reads one of the channels again: what is offered about it was refused. */
  async reread(id: string): Promise<void> {
    const { room } = await this.#client.call("getRoom", { roomId: id }, this.#search.signal);
    const { archived = false, joining = v1.RoomJoining.UNSPECIFIED } = room?.settings ?? {};
    const others = this.channels.filter((channel) => !archived || channel.id !== id);
    this.channels = others.map((channel) => (channel.id === id ? { ...channel, joining: joiningOf(v1.RoomKind.CHANNEL, joining) } : channel));
  }

  stop(): void {
    this.#search.abort();
  }

  async #read(before: readonly DirectoryChannel[]): Promise<void> {
    const [list, { signal }] = [this.#list, this.#search];
    this.isLoading = true;
    this.error = undefined;
    const found = this.#next ? [this.#next] : [];
    try {
      for (let one = await list?.next(); one?.value; one = await list?.next()) if (found.push(one.value) > this.#part) break;
      if (signal.aborted) return;
      this.hasMore = found.length > this.#part;
      this.#next = this.hasMore ? found.pop() : undefined;
      this.channels = [...before, ...found];
    } catch (error) {
      // Another search is on its way.
      if (!signal.aborted) this.error = error;
    } finally {
      if (!signal.aborted) this.isLoading = false;
    }
  }
}
