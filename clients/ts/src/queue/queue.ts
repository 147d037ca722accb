import { Emitter } from "../emitter.js";
import { closedBy, rejected, roomRestored } from "../errors.js";
import { GapReason } from "../gen/chat_pb.js";
import { randomId } from "../random.js";
import { SteadyStore } from "../storage/steady.js";
import { type Change, COLLECTIONS, type Storage, type Store } from "../storage/store.js";
import { DiscardedError, type QueueEvents, type Submitted } from "./api.js";
import { asLeft, asNoted, Carrier, put, type Wire } from "./carrier.js";
import { coalesce } from "./coalesce.js";
import { type Command, commandError, type NewCommand } from "./command.js";
import { Entries, type Entry } from "./entries.js";
import { decodeError, encodeError, type TabMessage } from "./messages.js";
import { type Answer, decodeAnswer, encodeAnswer, eventOf } from "./request.js";
import { fateOf, staysWhenFailed } from "./restored.js";
import { browserTabs, type TabRuntime, Tabs } from "./tabs.js";
import { Timers } from "./timers.js";
import { Waiters } from "./waiters.js";

/** The owner of the queue answers another tab within this time, or is frozen. */
const ACCEPT_MS = 3_000;
/** How long a carried out command is shown if its event does not arrive. */
const EVENT_MS = 10_000;
/** How long a discarded command is remembered, for tabs that were frozen meanwhile. */
const DISCARDED_MS = 24 * 3_600_000;

/**
 * The command queue: changes are stored, delivered in order for each room, over any number of connections and restarts. One of several
 * tabs sends; all see the same queue.
 */
export class CommandQueue extends Emitter<QueueEvents> {
  /** The known direct room with a user: messages to either are sent one after the other. */
  directRoom: (userId: string) => string | undefined = () => undefined;
  readonly #wire: Wire;
  readonly #store: SteadyStore;
  readonly #carrier: Carrier;
  readonly #tabs: Tabs<TabMessage>;
  readonly #sharedAs: string | undefined;
  readonly #entries = new Entries();
  readonly #waiters = new Waiters();
  /** The applied events of each room. */
  readonly #seen = new Map<string, number>();
  readonly #timers = new Timers();
  /** Ids removed while the store is read: it may still have them. */
  readonly #goneWhileLoading = new Set<string>();
  #loading = 0;
  #isLoaded = false;
  #isClosed = false;

  constructor(wire: Wire, storage: Storage, runtime: TabRuntime = browserTabs()) {
    super();
    [this.#wire, this.#sharedAs] = [wire, storage.sharedAs];
    this.#store = new SteadyStore(storage, (store) => this.#rewrite(store));
    this.#carrier = new Carrier(wire, this.#store, storage.sharedAs !== undefined);
    this.#store.on("state", (state) => this.emit("storage", state));
    this.#tabs = new Tabs(storage.sharedAs, runtime);
    this.#tabs.on("owner", (isOwner) => {
      if (isOwner) void this.#load();
      // The new owner sends pending commands again.
      else for (const { running } of this.#entries.all()) running?.abort();
      this.emit("owner", isOwner);
    });
    this.#tabs.on("message", (message) => this.#receive(message));
    wire.on("state", (state) => state.status === "closed" && this.#end(state.error ?? closedBy(undefined)));
    // Before anything of the last connection is sent again.
    wire.on("welcome", () => this.#restored());
    wire.on("gap", ({ roomId, reason }) => {
      if (reason !== GapReason.RESTORED) return;
      this.#seen.delete(roomId);
      this.#restored();
    });
    // A tab reads the store when it becomes the owner.
    this.#tabs.start();
    if (!this.#tabs.isOwner) void this.#load();
  }

  /** The storage of the queue, for other data in it. */
  get store(): SteadyStore {
    return this.#store;
  }

  /** Whether this tab owns the queue. */
  get isOwner(): boolean {
    return this.#tabs.isOwner;
  }

  /** All unfinished commands, in the order in which they were issued. */
  get commands(): readonly Command[] {
    return this.#entries.all().map(({ command }) => command);
  }

  /** Queues a command. One already queued under the same id is not queued twice: it continues, and a refused one is retried. */
  submit(next: NewCommand & { afterSeq?: number }): Submitted {
    const id = next.id ?? randomId();
    if (this.#isClosed) return { id, done: rejected(closedBy(undefined)) };
    const known = this.#entries.get(id);
    // A command that only waits for its event is done.
    if (known) return { id, done: known.done ?? this.retry(id) ?? this.#waiters.add(id) };
    const { drop, keep, same } = coalesce(this.commands, next);
    if (same !== undefined) return { id: same, done: this.#waiters.add(same) };
    for (const dropped of drop) {
      if (keep) this.#waiters.follow(dropped, id);
      this.#withdraw(dropped);
      this.#tabs.post({ type: "removed", id: dropped, isDiscarded: false });
      this.#waiters.resolve(dropped, undefined);
    }
    const forget: Change[] = drop.map((id) => put(id));
    if (!keep) {
      void this.#store.write(forget);
      return { id, done: Promise.resolve(undefined) };
    }
    const { userId } = this.#wire;
    const command = { ...next, id, writtenAt: this.#entries.nextTime(), state: "waiting", ...(userId !== "" && { userId }), ...this.#carrier.issued(next) } as Command;
    const entry: Entry = { command, isStored: false };
    this.#entries.set(entry);
    const done = this.#waiters.add(id);
    this.#announce(entry.command);
    void this.#hand(entry, forget);
    return { id, done };
  }

  /** Retries a refused command. Returns its outcome; undefined if there is nothing to retry. */
  retry(id: string): Promise<Answer | undefined> | undefined {
    const entry = this.#entries.get(id);
    if (entry?.command.state !== "failed") return undefined;
    const { error: _, ...command } = entry.command;
    // It may have been carried out before it was refused: it is sent unchanged.
    entry.command = { ...command, state: "waiting" } as Command;
    entry.isStored = false;
    const done = this.#waiters.add(id);
    this.#announce(entry.command);
    void this.#hand(entry, []);
    return done;
  }

  /**
   * Discards a command, in all tabs. A `waiting` one is never sent; a `sending` one may have been carried out. Resolves once the
   * storage has deleted it.
   */
  async discard(id: string): Promise<void> {
    if (!this.#entries.has(id)) return;
    this.#dropLocally(id);
    this.#tabs.post({ type: "removed", id, isDiscarded: true });
    // A tab that was frozen, or opens the store later, finds out from there.
    const value = this.#sharedAs !== undefined ? ({ id, state: "discarded", writtenAt: Date.now() } as const) : undefined;
    await this.#store.write([put(id, value)]);
  }

  /** The events of a room have been applied up to here. */
  observed(roomId: string, seq: number): void {
    this.#seen.set(roomId, seq);
    for (const { command } of this.#entries.all()) {
      if (command.state === "confirmed" && command.roomId === roomId && (command.seq ?? 0) <= seq) this.#remove(command.id);
    }
  }

  /** Drops commands of other users, once the user is known. */
  dropForeign(): void {
    for (const { command } of this.#entries.all()) if (this.#carrier.isForeign(command)) void this.discard(command.id);
  }

  /** Ends it, and erases all stored collections, except for commands if these are kept. */
  async erase(keepUnsent: boolean): Promise<void> {
    this.#end(closedBy(undefined), { type: "erased", keepUnsent });
    await this.#store.clear(COLLECTIONS.filter((collection) => collection !== "commands" || !keepUnsent));
    await this.#store.close();
  }

  /** Ends it. Pending commands stay in the storage. */
  async close(): Promise<void> {
    this.#end(closedBy(undefined));
    await this.#store.close();
  }

  /** Stores a command, and has the owner of the queue send it. */
  async #hand(entry: Entry, changes: readonly Change[]): Promise<void> {
    const { command } = entry;
    await this.#carrier.store(command, changes, () => this.#entries.get(command.id)?.command);
    entry.isStored = true;
    if (this.#isClosed || this.#entries.get(command.id) !== entry) return;
    if (this.#tabs.isOwner) return this.#pump();
    this.#tabs.post({ type: "submitted", command });
    this.#timers.set(`accept/${command.id}`, ACCEPT_MS, () => this.#tabs.takeOver());
  }

  /** Reads what earlier pages and other tabs have left. */
  async #load(): Promise<void> {
    this.#loading++;
    const loaded = this.#store.readAll("commands").then((records) => {
      if (this.#isClosed) return;
      const forgotten = records.flatMap((record): Change[] => {
        if (record.state !== "discarded") return this.#merge(record), [];
        this.#dropLocally(record.id);
        const isOld = Date.now() - record.writtenAt > DISCARDED_MS;
        return isOld ? [put(record.id)] : [];
      });
      if (forgotten.length > 0) void this.#store.write(forgotten);
      this.#entries.sort();
      this.#restored();
      if (--this.#loading === 0) this.#goneWhileLoading.clear();
      this.#pump();
    });
    await this.#store.wait(loaded);
    this.#isLoaded = true;
    this.#pump();
  }

  #merge(stored: Command): void {
    const known = this.#entries.get(stored.id);
    if (!known) {
      if (this.#goneWhileLoading.has(stored.id)) return;
      if (this.#carrier.isForeign(stored)) return void this.#store.write([put(stored.id)]);
      const command = asLeft(stored);
      this.#entries.set({ command, isStored: true });
      this.emit("change", command);
    } else known.command = asNoted(known.command, stored);
  }

  /** Starts the first command of each lane, unless one is in flight. */
  #pump(): void {
    if (!this.#isLoaded || this.#isClosed || !this.#tabs.isOwner) return;
    for (const entry of this.#entries.firstOfLanes(this.directRoom)) if (!entry.running && entry.isStored) void this.#carryOut(entry);
  }

  async #carryOut(entry: Entry): Promise<void> {
    const running = (entry.running = new AbortController());
    const { signal } = running;
    const { id } = entry.command;
    try {
      await this.#wire.online(signal);
      if (this.#carrier.isForeign(entry.command)) return await this.discard(id);
      if (this.#carrier.isOutdated(entry.command) && fateOf(entry.command) !== "send") return this.#restored();
      signal.throwIfAborted();
      const claimed = await this.#carrier.claim(entry.command);
      signal.throwIfAborted();
      if (!claimed) return this.#dropLocally(id);
      entry.command = claimed;
      this.#announce(claimed);
      // Too late to be taken back.
      this.#confirm(entry, await this.#carrier.send(claimed, signal));
    } catch (error) {
      if (signal.aborted || this.#carrier.isEndOfSession(error)) return;
      this.#refuse(entry, error);
    } finally {
      if (entry.running === running) delete entry.running;
      this.#pump();
    }
  }

  /** Rooms may have been restored from a backup: earlier commands are reconsidered. */
  #restored(): void {
    if (!this.#tabs.isOwner) return;
    for (const entry of this.#entries.all()) {
      const { command, running } = entry;
      if (!this.#carrier.isOutdated(command)) continue;
      running?.abort();
      const fate = fateOf(command);
      if (fate === "fail") this.#refuse(entry, roomRestored(command.roomId ?? ""));
      else if (fate === "drop") this.#forget(command.id);
    }
  }

  /** Drops a command in all tabs and the storage, as if another one had cancelled it. */
  #forget(id: string): void {
    this.#remove(id);
    this.#tabs.post({ type: "removed", id, isDiscarded: false });
    this.#waiters.resolve(id, undefined);
    void this.#store.write([put(id)]);
  }

  #confirm(entry: Entry, answer: Answer): void {
    const event = eventOf(answer);
    const roomId = event?.roomId || entry.command.roomId;
    const command = { ...entry.command, state: "confirmed", ...(roomId !== undefined && { roomId }), ...(event && { seq: event.seq }) } as Command;
    entry.command = command;
    this.#tabs.post({ type: "confirmed", command, answer: encodeAnswer(answer) });
    void this.#store.write([put(command.id)]);
    this.#settle(command, answer);
  }

  #settle(command: Command, answer: Answer): void {
    this.emit("confirmed", { command, answer });
    this.#waiters.resolve(command.id, answer);
    const { id, roomId = "", seq } = command;
    if (seq === undefined || (this.#seen.get(roomId) ?? 0) >= seq) return this.#remove(id);
    const entry = this.#entries.get(id);
    if (entry) entry.done = Promise.resolve(answer);
    this.emit("change", command);
    this.#timers.set(`event/${id}`, EVENT_MS, () => this.#remove(id));
  }

  #refuse(entry: Entry, error: unknown): void {
    entry.command = { ...entry.command, state: "failed", error: commandError(error) } as Command;
    const { command } = entry;
    this.#tabs.post({ type: "refused", command, error: encodeError(error) });
    const value = staysWhenFailed(command) ? command : undefined;
    void this.#store.write([put(command.id, value)]);
    this.#reject(command, error);
  }

  #reject(command: Command, error: unknown): void {
    if (staysWhenFailed(command)) this.emit("change", command);
    else this.#remove(command.id);
    this.emit("failed", command);
    this.#waiters.reject(command.id, error);
  }

  #receive(message: TabMessage): void {
    switch (message.type) {
      case "submitted":
        this.#adopt(message.command);
        if (!this.#tabs.isOwner) break;
        this.#tabs.post({ type: "accepted", id: message.command.id });
        this.#pump();
        break;
      case "erased":
        if (!message.keepUnsent) for (const id of this.#entries.ids()) this.#dropLocally(id);
        this.emit("erased", undefined);
        break;
      case "accepted":
        this.#timers.cancel(`accept/${message.id}`);
        break;
      case "changed":
        this.#adopt(message.command);
        break;
      case "removed":
        if (message.isDiscarded) return this.#dropLocally(message.id);
        this.#withdraw(message.id);
        this.#waiters.resolve(message.id, undefined);
        break;
      case "confirmed":
        this.#adopt(message.command);
        this.#settle(message.command, decodeAnswer(message.answer));
        break;
      case "refused":
        this.#adopt(message.command);
        this.#reject(message.command, decodeError(message.error));
        break;
    }
  }

  /** Applies another tab's state of a command. */
  #adopt(command: Command): void {
    const known = this.#entries.get(command.id);
    if (known?.running) return;
    this.#timers.cancel(`accept/${command.id}`);
    this.#entries.set({ command: known ? asNoted(command, known.command) : command, isStored: true });
    if (!known) this.#entries.sort();
    this.emit("change", command);
  }

  #announce(command: Command): void {
    // Other tabs are notified when it is submitted: a command that is not stored yet must not be sent.
    if (this.#tabs.isOwner) this.#tabs.post({ type: "changed", command });
    this.emit("change", command);
  }

  #dropLocally(id: string): void {
    this.#withdraw(id);
    this.#waiters.reject(id, new DiscardedError("the command was discarded"));
  }

  /** Removes a command that must not be sent: it may be about to be, as soon as there is a connection. */
  #withdraw(id: string): void {
    this.#entries.get(id)?.running?.abort();
    this.#remove(id);
  }

  #remove(id: string): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    if (this.#loading > 0) this.#goneWhileLoading.add(id);
    this.#timers.cancel(`event/${id}`);
    this.#timers.cancel(`accept/${id}`);
    this.emit("change", entry.command);
    this.#pump();
  }

  /** Writes everything to a store that may have lost it. */
  async #rewrite(store: Store): Promise<void> {
    for (const { command } of this.#entries.all()) {
      if (command.state === "confirmed") continue;
      await store.update("commands", command.id, (current) => (current?.state === "discarded" ? current : command));
    }
  }

  #end(error: Error, last?: TabMessage): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.emit("ends", undefined);
    if (last) this.#tabs.post(last);
    this.#tabs.close();
    this.#timers.cancelAll();
    this.#waiters.rejectAll(error);
  }
}
