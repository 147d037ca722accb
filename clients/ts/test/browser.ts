import type { Channel, Locks, TabRuntime } from "../src/queue/tabs.js";

/** Locks and channels of one browser. */
export class FakeBrowser {
  readonly #waiting: (() => void)[] = [];
  readonly #channels = new Set<FakeChannel>();
  #held: { end: () => void } | undefined;

  /** A tab's view, and ways for it to end. */
  tab(): { runtime: TabRuntime; freeze: () => void; die: () => void } {
    let isAwake = true;
    let holding: (() => void) | undefined;
    const channels: FakeChannel[] = [];
    const locks: Locks = {
      request: (_name, { signal, steal }, held) =>
        new Promise((resolve, reject) => {
          const grant = () => {
            if (signal?.aborted) return this.#next();
            let isOver = false;
            const end = () => {
              if (isOver) return;
              isOver = true;
              if (this.#held === lock) this.#held = undefined;
            };
            const lock = { end: () => (end(), reject(new DOMException("stolen", "AbortError"))) };
            this.#held = lock;
            holding = () => (end(), this.#next());
            void held().then(() => (holding?.(), resolve(undefined)));
          };
          if (steal) {
            this.#held?.end();
            grant();
          } else if (this.#held) this.#waiting.push(grant);
          else grant();
        }),
    };
    const runtime: TabRuntime = {
      locks,
      channel: () => {
        const channel = new FakeChannel(this.#channels, () => isAwake);
        channels.push(channel);
        return channel;
      },
    };
    const freeze = () => void (isAwake = false);
    const die = () => {
      freeze();
      channels.forEach((channel) => channel.close());
      holding?.();
    };
    return { runtime, freeze, die };
  }

  #next(): void {
    if (!this.#held) this.#waiting.shift()?.();
  }
}

class FakeChannel implements Channel {
  onmessage: ((event: MessageEvent) => void) | null = null;

  constructor(
    readonly all: Set<FakeChannel>,
    readonly isAwake: () => boolean,
  ) {
    all.add(this);
  }

  postMessage(message: unknown): void {
    if (!this.isAwake()) return;
    const data: unknown = structuredClone(message);
    for (const other of this.all) if (other !== this) queueMicrotask(() => other.isAwake() && other.onmessage?.({ data } as MessageEvent));
  }

  close(): void {
    this.all.delete(this);
  }
}
