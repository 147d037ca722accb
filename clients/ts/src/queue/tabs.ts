import { Emitter } from "../emitter.js";

/** The used part of `LockManager`. */
export interface Locks {
  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, held: () => Promise<void>): Promise<unknown>;
}

/** The used part of `BroadcastChannel`. */
export interface Channel {
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent) => void) | null;
  close(): void;
}

/** The means of coordination between tabs. */
export interface TabRuntime {
  locks?: Locks | undefined;
  channel?: ((name: string) => Channel) | undefined;
}

interface TabEvents<Message> {
  /** Whether this tab is the owner has changed. */
  owner: boolean;
  /** A message from another tab. */
  message: Message;
}

/** The runtime's locks and channels: none in Node before 24, and on pages without a secure
 * context. */
export function browserTabs(): TabRuntime {
  return {
    locks: typeof navigator === "undefined" ? undefined : navigator.locks,
    channel: typeof BroadcastChannel === "undefined" ? undefined : (name) => new BroadcastChannel(name),
  };
}

/**
 * The tabs that share a storage: one of them owns it, and the next one takes over when it ends.
 * If locks or channels are missing or denied, each tab acts as an owner.
 */
export class Tabs<Message> extends Emitter<TabEvents<Message>> {
  readonly #name: string;
  #locks: Locks | undefined;
  #channel: Channel | undefined;
  readonly #end = new AbortController();
  #release: (() => void) | undefined;
  #isOwner = false;

  constructor(sharedAs: string | undefined, runtime: TabRuntime) {
    super();
    this.#name = `${sharedAs}:queue`;
    if (sharedAs === undefined || !runtime.locks || !runtime.channel) return;
    try {
      this.#channel = runtime.channel(this.#name);
    } catch {
      return;
    }
    this.#channel.onmessage = ({ data }) => this.emit("message", data as Message);
    this.#locks = runtime.locks;
  }

  get isOwner(): boolean {
    return this.#isOwner;
  }

  /** Becomes the owner, immediately or when the current one ends. */
  start(): void {
    if (this.#locks) this.#request({ signal: this.#end.signal });
    else this.#set(true);
  }

  /** Replaces an owner that does not answer, such as a frozen page. */
  takeOver(): void {
    if (this.#locks && !this.#isOwner && !this.#end.signal.aborted) this.#request({ steal: true });
  }

  post(message: Message): void {
    if (!this.#end.signal.aborted) this.#channel?.postMessage(message);
  }

  /** Releases ownership to the next tab. */
  close(): void {
    this.#end.abort();
    this.#release?.();
    this.#channel?.close();
    this.#set(false);
  }

  #request(options: { signal?: AbortSignal; steal?: boolean }): void {
    const held = () =>
      new Promise<void>((release) => {
        if (this.#end.signal.aborted) return release();
        this.#release = release;
        this.#set(true);
      });
    const ended = () => {
      // Taken over by another tab: wait for ownership again.
      if (this.#end.signal.aborted || !this.#isOwner) return;
      this.#set(false);
      this.#request({ signal: this.#end.signal });
    };
    // Denied, as on pages that may not store anything: unlike a lock taken over by another tab.
    const failed = (error: unknown) => {
      if (error instanceof DOMException && error.name === "AbortError") return ended();
      this.#locks = undefined;
      if (!this.#end.signal.aborted) this.#set(true);
    };
    // A lock request that throws is denied, too.
    new Promise((resolve) => resolve(this.#locks?.request(this.#name, options, held))).then(ended, failed);
  }

  #set(isOwner: boolean): void {
    if (this.#isOwner === isOwner) return;
    this.#isOwner = isOwner;
    this.emit("owner", isOwner);
  }
}
