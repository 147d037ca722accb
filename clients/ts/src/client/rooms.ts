import type { Emitter } from "../emitter.js";
import type { Draft, NewCommand } from "../queue/command.js";
import { type Confirmed, project, type Projection } from "../queue/project.js";
import type { CommandQueue } from "../queue/queue.js";
import { changeOf } from "../queue/request.js";
import type { RoomChanges } from "../room/events.js";
import { infoOf, type RoomInfo, valuesOf } from "../room/info.js";
import type { Owner } from "../room/owner.js";
import { loadViews, Room } from "../room/room.js";
import type { OperationName, RequestOf, ResponseOf } from "../session/operations.js";
import type { ConnectionState, Session } from "../session/session.js";
import type { Input } from "../state/inputs.js";
import { emptyRoom, isKnown, isStale, type RoomState } from "../state/room-state.js";
import { apply, emptyState, type State } from "../state/state.js";
import type { ClientEvents } from "./api.js";
import { RoomLists } from "./lists.js";

/** Minimum interval between emitted room lists. */
const EMIT_EVERY_MS = 16;
/** Number of unwatched rooms that keep their messages: the most recently viewed ones. */
const KEPT_ROOMS = 16;

/** What rooms need of their client. */
interface Ports {
  readonly session: Session;
  readonly queue: CommandQueue;
  readonly emitter: Emitter<ClientEvents>;
  send(draft: Draft): Promise<{ readonly seq: number }>;
  watchPresence(userIds: readonly string[]): Promise<void>;
  /** Some data of a room is only an estimate. */
  stale(): void;
  /** Values over all rooms may have changed. */
  listed(): void;
}

/** The rooms of a client: its state, and the views of it. */
export class Rooms implements Owner {
  readonly lists = new RoomLists();
  /** Called when a room, or its messages, have changed. */
  onchange: (roomId: string) => void = () => {};
  readonly #ports: Ports;
  readonly #rooms = new Map<string, Room>();
  /** Rooms with loaded messages, most recently viewed last. */
  readonly #looked = new Set<Room>();
  #confirmed = emptyState();
  #order = 0;
  #emitting: ReturnType<typeof setTimeout> | undefined;
  #emittedAt = Number.NEGATIVE_INFINITY;
  #emitted: readonly Room[] | undefined;
  /** Whether all rooms are known: before that, a list would be incomplete. */
  #isWhole = false;

  constructor(ports: Ports) {
    this.#ports = ports;
  }

  /** The confirmed state. */
  get confirmed(): State {
    return this.#confirmed;
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  get userId(): string {
    return this.#ports.session.userId;
  }

  get state(): ConnectionState {
    return this.#ports.session.state;
  }

  get(roomId: string): Room | undefined {
    return this.#rooms.get(roomId);
  }

  /** A room that exists from now on. */
  of(roomId: string): Room {
    let room = this.#rooms.get(roomId);
    if (!room) this.#rooms.set(roomId, (room = new Room(this, roomId)));
    return room;
  }

  all(): IterableIterator<Room> {
    return this.#rooms.values();
  }

  /** Loads what rooms need to show messages of an earlier client. */
  prepare(): Promise<void> {
    return loadViews();
  }

  /** Heads of the user's rooms. */
  heads(): ReadonlyMap<string, number> {
    const heads = new Map<string, number>();
    for (const { id, head, membership } of this.#confirmed.rooms.values()) if (membership.value.isMember) heads.set(id, head.seq);
    return heads;
  }

  /** Whether data of a room is missing that the inbox has. */
  isStale(): boolean {
    return [...this.#confirmed.rooms.values()].some((room) => isKnown(room) && isStale(room));
  }

  /** Applies an input to the state, and emits the changes. */
  apply(input: Input): void {
    const before = this.#confirmed;
    const after = apply(before, input);
    if (after === before) return;
    this.#confirmed = after;
    if (input.type === "welcome") {
      for (const room of this.#rooms.values()) {
        const [old, now] = [before.rooms.get(room.id), after.rooms.get(room.id)];
        if (old && now && old !== now) room.stateChanged(old, now);
      }
    } else if (input.type === "presence") {
      const { userId, online } = input;
      if ((before.presence.get(userId)?.online ?? false) !== online) this.#ports.emitter.emit("presence", { userId, online });
    } else {
      const now = after.rooms.get(input.roomId);
      if (!now || !isKnown(now)) return;
      this.of(input.roomId).stateChanged(before.rooms.get(input.roomId) ?? emptyRoom(input.roomId), now);
      if (isStale(now)) this.#ports.stale();
    }
  }

  /** All rooms are known now. */
  complete(): void {
    this.#isWhole = true;
    this.#emitLists();
  }

  /** Discards everything, because it belongs to another user. */
  reset(): void {
    const before = this.#confirmed;
    this.#confirmed = emptyState();
    this.#isWhole = false;
    for (const room of this.#rooms.values()) {
      room.release();
      room.stateChanged(before.rooms.get(room.id) ?? emptyRoom(room.id), emptyRoom(room.id));
    }
    this.#rooms.clear();
    this.#looked.clear();
    this.#emitLists();
  }

  close(): void {
    clearTimeout(this.#emitting);
  }

  // === Of each room ===

  call<Name extends OperationName>(name: Name, request: RequestOf<Name>, signal?: AbortSignal): Promise<ResponseOf<Name>> {
    return this.#ports.session.call(name, request, { signal });
  }

  send(draft: Draft): Promise<{ readonly seq: number }> {
    return this.#ports.send(draft);
  }

  submit(command: NewCommand): Promise<unknown> {
    return this.#ports.queue.submit(command).done;
  }

  change<Name extends OperationName>(name: Name, request: RequestOf<Name>): Promise<unknown> {
    return this.submit(changeOf(name, request));
  }

  isOnline(userId: string): boolean {
    return this.state.status === "online" && (this.#confirmed.presence.get(userId)?.online ?? false);
  }

  watchPresence(userIds: readonly string[]): Promise<void> {
    return this.#ports.watchPresence(userIds);
  }

  stateOf(roomId: string): RoomState {
    return this.#confirmed.rooms.get(roomId) ?? emptyRoom(roomId);
  }

  /** The confirmed data of a room, in display form. */
  infoOf(roomId: string): RoomInfo {
    const state = this.stateOf(roomId);
    return infoOf(state, valuesOf(state));
  }

  nextOrder(): number {
    return ++this.#order;
  }

  project(confirmed: Confirmed): Projection {
    return project(confirmed, this.#ports.queue.commands);
  }

  happened<Name extends keyof RoomChanges>(name: Name, change: RoomChanges[Name]): void {
    this.#ports.emitter.emit<keyof RoomChanges>(name, change);
  }

  hasListeners(name: keyof RoomChanges): boolean {
    return this.#ports.emitter.hasListeners(name);
  }

  touched(roomId: string): void {
    const room = this.#rooms.get(roomId);
    // Belongs to a user who has been replaced.
    if (!room) return;
    this.lists.touch(room);
    this.onchange(roomId);
    if (this.#emitting !== undefined || !this.#isWhole) return;
    const wait = Math.max(0, this.#emittedAt + EMIT_EVERY_MS - performance.now());
    this.#emitting = setTimeout(() => this.#emitLists(), wait);
  }

  looked(roomId: string): void {
    const room = this.#rooms.get(roomId);
    if (!room) return;
    this.#looked.delete(room);
    this.#looked.add(room);
    if (this.#looked.size <= KEPT_ROOMS) return;
    for (const old of this.#looked) {
      if (this.#looked.size <= KEPT_ROOMS) return;
      if (old === room || old.isWatched) continue;
      this.#looked.delete(old);
      old.release();
    }
  }

  #emitLists(): void {
    clearTimeout(this.#emitting);
    this.#emitting = undefined;
    this.#emittedAt = performance.now();
    const rooms = this.lists.rooms("listed");
    if (rooms !== this.#emitted) this.#ports.emitter.emit("rooms", rooms);
    this.#emitted = rooms;
    this.#ports.listed();
  }
}
