import { Emitter } from "../emitter.js";
import { backoff } from "../random.js";
import { type Change, type Collection, KEY, type Records, type Storage, StorageError, type Store } from "./store.js";

/** Maximum time that anything waits for a storage. */
const PATIENCE_MS = 1_500;
/** An open store that has not answered by then is reopened. */
const HANGS_MS = 15_000;
/** Delay before failed writes are retried with the next write. */
const RETRY_MISSED_MS = 10_000;
/** The first attempts to reopen it wait slightly longer than a connection's. */
const REOPEN_AFTER = 2;

/** Whether written data survives the page or process. */
export type StorageState =
  /** Not known yet. */
  | { readonly status: "opening" }
  | { readonly status: "durable" }
  /** It does not: the storage cannot be opened or written, or does not answer. It is retried. */
  | { readonly status: "memory"; readonly error: Error };

interface StoreEvents {
  state: StorageState;
  /** Earlier writes may be lost. */
  renewed: void;
}

interface Work {
  /** Writes are merged into one transaction; an update has its own. */
  changes?: readonly Change[];
  run: (store: Store) => Promise<void>;
  failures: number;
  done: () => void;
  /** A copy of the server's data: tried once. */
  isCopy?: boolean;
}

/**
 * Access to a store that may hang, fail or be lost: every write is executed in order, awaited up to a limit, and repeated on a reopened
 * store. Nothing rejects because of the storage; `state` reports its condition.
 */
export class SteadyStore extends Emitter<StoreEvents> {
  readonly #storage: Storage;
  /** Writes all required data to a reopened store. */
  readonly #rewrite: (store: Store) => Promise<void>;
  #state: StorageState = { status: "opening" };
  #store: Promise<Store> | undefined;
  #work: Work[] = [];
  #isWorking = false;
  /** Since when a write has been failing, by `performance.now()`. */
  #missedAt: number | undefined;
  /** Ends waiting for an abandoned store. */
  #giveUp: (why: Error) => void = () => {};
  /** Written data may be lost: it is written again first. */
  #wasLost = false;
  /** Ends all waits between attempts. */
  readonly #wakes = new Set<() => void>();
  /** It may contain records of this process or an earlier one. */
  #wasOpen = false;
  #isClosed = false;

  constructor(storage: Storage, rewrite: (store: Store) => Promise<void>) {
    super();
    this.#storage = storage;
    this.#rewrite = rewrite;
  }

  get state(): StorageState {
    return this.#state;
  }

  /** Reads a collection. Does not resolve before there is a store: use it with {@link wait}. */
  async readAll<C extends Collection>(collection: C): Promise<Records[C][]> {
    return this.#run((store) => store.readAll(collection));
  }

  /** Writes. Resolves once it is durable, or the time limit is reached. */
  write(changes: readonly Change[]): Promise<void> {
    const written = new Promise<void>((done) =>
      this.#add({ changes, run: (store) => store.write(changes), failures: 0, done }),
    );
    return this.wait(written);
  }

  /** Writes a copy of the server's data: tried once, before anything else. Returns whether it is durable. */
  writeCopy(changes: readonly Change[]): Promise<boolean> {
    return new Promise((resolve) => {
      const run = (store: Store) => store.write(changes).then(() => resolve(true));
      this.#add({ run, failures: 0, done: () => resolve(false), isCopy: true });
    });
  }

  /** Deletes all records of collections. Awaited briefly even if the storage has failed before, then left to the next process that opens
   * it. */
  async clear(collections: readonly Collection[]): Promise<void> {
    let isCleared = false;
    const clear = async (store: Store) => {
      for (const collection of collections) {
        const records = (await store.readAll(collection)) as unknown as Record<string, string>[];
        await store.write(records.map((record) => ({ collection, key: record[KEY[collection]], value: undefined }) as Change));
      }
      isCleared = true;
    };
    await this.wait(this.#run(clear), true);
    if (!isCleared) this.#storage.eraseLater?.(collections);
  }

  /**
   * {@link Store.update}; `late` if the time limit is reached. With `hasToBe` it is retried until it is durable, unless the store was never
   * open: then it contains nothing that would have to be replaced.
   */
  async update<C extends Collection>(
    collection: C,
    key: string,
    next: (current: Records[C] | undefined) => Records[C] | undefined,
    hasToBe = false,
  ): Promise<{ late: boolean; value: Records[C] | undefined }> {
    let outcome: { late: boolean; value: Records[C] | undefined } = { late: true, value: undefined };
    const run = async (store: Store) => {
      outcome = { late: false, value: await store.update(collection, key, next) };
    };
    do {
      const updated = new Promise<void>((done) => this.#add({ run, failures: 0, done }));
      if (!hasToBe || !this.#wasOpen) await this.wait(updated);
      else {
        await updated;
        if (outcome.late) await this.#rest(RETRY_MISSED_MS).done;
      }
    } while (hasToBe && this.#wasOpen && outcome.late && !this.#isClosed);
    return outcome;
  }

  /** Resolves once `done` has, or the storage has timed out. */
  async wait(done: Promise<unknown>, always = this.#state.status !== "memory"): Promise<void> {
    if (!always) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let off = () => {};
    const late = new Promise<void>((resolve) => {
      off = this.on("state", ({ status }) => status === "memory" && resolve());
      timer = setTimeout(() => {
        this.#set({ status: "memory", error: new StorageError("the storage does not answer") });
        resolve();
      }, PATIENCE_MS);
    });
    try {
      await Promise.race([done, late]);
    } finally {
      clearTimeout(timer);
      off();
    }
  }

  /** Writes what is left, as far as the storage answers, and releases it. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    if (this.#work.length > 0) await this.wait(this.#run(async () => {}));
    this.#isClosed = true;
    this.#giveUp(new StorageError("the client was closed"));
    for (const wake of this.#wakes) wake();
    this.#work = [];
    await this.#store?.then((store) => store.close()).catch(() => {});
  }

  #run<T>(read: (store: Store) => Promise<T>): Promise<T> {
    return new Promise((resolve) => {
      const run = async (store: Store) => resolve(await read(store));
      this.#add({ run, failures: 0, done: () => {} });
    });
  }

  #add(work: Work): void {
    if (this.#isClosed) return;
    this.#work.push(work);
    if (!this.#isWorking) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#isWorking = true;
    while (this.#work.length > 0 && !this.#isClosed) {
      const batch = this.#nextBatch();
      try {
        await this.#attempt(batch);
      } catch (error) {
        if (!this.#isClosed) await this.#failed(batch, error instanceof Error ? error : new StorageError(String(error)));
        continue;
      }
      this.#work.splice(0, batch.length);
      for (const { done } of batch) done();
      this.#caughtUp();
    }
    this.#isWorking = false;
  }

  /** The first piece of work, and the writes that follow a write, unless it has failed before. */
  #nextBatch(): Work[] {
    const [first] = this.#work;
    if (!first?.changes || first.failures > 0) return this.#work.slice(0, 1);
    const end = this.#work.findIndex(({ changes, failures }) => !changes || failures > 0);
    return this.#work.slice(0, end < 0 ? undefined : end);
  }

  async #attempt(batch: readonly Work[]): Promise<void> {
    const givenUp = new Promise<never>((_, reject) => (this.#giveUp = reject));
    givenUp.catch(() => {});
    const store = await Promise.race([(this.#store ??= this.#open()), givenUp]);
    const timer = setTimeout(() => this.#giveUp(new StorageError("the storage does not answer")), HANGS_MS);
    try {
      if (this.#wasLost) {
        await Promise.race([this.#rewrite(store), givenUp]);
        this.#wasLost = false;
        this.emit("renewed", undefined);
      }
      const merged = batch.flatMap(({ changes }) => changes ?? []);
      await Promise.race([batch.length === 1 ? batch[0]?.run(store) : store.write(merged), givenUp]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #failed(batch: readonly Work[], error: Error): Promise<void> {
    if (error.name === "QuotaExceededError") await this.#makeRoom();
    else this.#drop();
    for (const work of batch) work.failures++;
    const [first] = batch;
    if (first?.isCopy) {
      this.#work.splice(0, 1);
      return first.done();
    }
    // Alone on a fresh store, it fails again: it is this one that cannot be stored.
    if (batch.length > 1 || !first || first.failures < 3) return;
    this.#work.splice(0, 1);
    this.#missedAt = performance.now();
    this.#set({ status: "memory", error });
    first.done();
  }

  #caughtUp(): void {
    if (this.#work.length > 0 || this.#isClosed) return;
    if (this.#missedAt === undefined) return this.#set({ status: "durable" });
    if (performance.now() - this.#missedAt < RETRY_MISSED_MS) return;
    this.#missedAt = undefined;
    this.#add({ run: (store) => this.#rewrite(store), failures: 0, done: () => {} });
  }

  /** Copies of the server's data are dropped first. */
  async #makeRoom(): Promise<void> {
    const store = await this.#store;
    const stored = await store?.readAll("messages").catch(() => []);
    const changes = stored?.map(({ roomId }): Change => ({ collection: "messages", key: roomId, value: undefined }));
    await store?.write(changes ?? []).catch(() => {});
  }

  /** Opens the store, with any number of attempts. */
  async #open(): Promise<Store> {
    for (let failures = 0; ; failures++) {
      try {
        const store = await this.#openInTime();
        this.#wasOpen = true;
        store.onLost((error) => {
          this.#drop();
          this.#giveUp(error);
          // Reopened immediately: pending data may be missing in it.
          this.#add({ run: async () => {}, failures: 0, done: () => {} });
        });
        return store;
      } catch (error) {
        if (!this.#isClosed) {
          this.#set({ status: "memory", error: error instanceof Error ? error : new StorageError(String(error)) });
          await this.#rest(backoff(failures + REOPEN_AFTER)).done;
        }
        if (this.#isClosed) throw new StorageError("the client was closed");
      }
    }
  }

  /** One attempt. A store that opens too late is closed. */
  async #openInTime(): Promise<Store> {
    const opening = this.#storage.open((error) => this.#set({ status: "memory", error }));
    const rest = this.#rest(HANGS_MS);
    try {
      const store = await Promise.race([opening, rest.done]);
      if (store) return store;
    } finally {
      rest.end();
    }
    opening.then((late) => late.close()).catch(() => {});
    throw new StorageError("the storage does not answer");
  }

  /** Drops the open store; the next piece of work opens another. */
  #drop(): void {
    const store = this.#store;
    this.#store = undefined;
    this.#wasLost = true;
    void store?.then((store) => store.close()).catch(() => {});
  }

  /** A wait, which can be ended before. */
  #rest(ms: number): { done: Promise<void>; end: () => void } {
    let end = () => {};
    const done = new Promise<void>((resolve) => {
      const timer = setTimeout(() => end(), ms);
      this.#wakes.add((end = () => (clearTimeout(timer), this.#wakes.delete(end), resolve())));
    });
    return { done, end };
  }

  #set(state: StorageState): void {
    const before = this.#state;
    this.#state = state;
    const messageOf = (one: StorageState) => ("error" in one ? one.error.message : "");
    if (before.status !== state.status || messageOf(before) !== messageOf(state)) this.emit("state", state);
  }
}
