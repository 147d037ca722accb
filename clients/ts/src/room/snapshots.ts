import type { Projection } from "../queue/project.js";
import { Slices } from "../slices.js";
import type { RoomState } from "../state/room-state.js";
import { infoOf, membersOf, receiptsOf, type RoomInfo, type RoomMember, type RoomReceipt, stableList, stableObject } from "./info.js";
import type { ChatMessage } from "./message.js";

/** Immutable values of a room: each is replaced when it changes, and identical until then. */
export interface RoomSlices {
  info: RoomInfo;
  /** {@link Room.messages}. */
  messages: readonly ChatMessage[];
  /** {@link Room.members}. */
  members: readonly RoomMember[];
  receipts: readonly RoomReceipt[];
  /** Ids of other users who are typing. */
  typing: readonly string[];
}

/** The values of a room, each computed on first read and kept until it changes. */
export class Snapshots extends Slices<RoomSlices> {
  readonly #state: () => RoomState;
  readonly #project: () => Projection;
  readonly #values: { -readonly [Name in keyof RoomSlices]?: RoomSlices[Name] } = {};
  /** The sources of receipts and members. */
  readonly #sources = new Map<keyof RoomSlices, unknown>();
  #projection: Projection | undefined;
  /** Slices that were computed since the last change. */
  readonly #fresh = new Set<keyof RoomSlices>();

  /** `project` applies pending commands to the confirmed state. */
  constructor(state: () => RoomState, project: () => Projection) {
    super((name) => this.read(name));
    [this.#state, this.#project] = [state, project];
  }

  /** A value: frozen, and identical until it changes. */
  read<Name extends keyof RoomSlices>(slice: Name): RoomSlices[Name] {
    const held = this.#values[slice];
    if (held !== undefined && this.#fresh.has(slice)) return held;
    this.#fresh.add(slice);
    return (this.#values[slice] = this.#readers[slice](held));
  }

  /** Marks all slices for recomputation. */
  touch(): void {
    this.#projection = undefined;
    this.#fresh.clear();
  }

  /** Computes each slice; returns `held` if it has not changed. */
  readonly #readers: { [Name in keyof RoomSlices]: (held: RoomSlices[Name] | undefined) => RoomSlices[Name] } = {
    info: (held) => stableObject(held, infoOf(this.#state(), this.#projected().values)),
    messages: (held) => stableList(held, this.#projected().messages),
    typing: (held) => stableList(held, [...this.#state().typing.keys()]),
    receipts: (held) => this.#derived("receipts", held, this.#state().receipts, receiptsOf),
    members: (held) => this.#derived("members", held, this.#state().members, membersOf),
  };

  /** Recomputed only if its source has changed. */
  #derived<Source, Value>(name: keyof RoomSlices, held: Value | undefined, source: Source, make: (source: Source) => Value): Value {
    if (held !== undefined && this.#sources.get(name) === source) return held;
    this.#sources.set(name, source);
    return Object.freeze(make(source));
  }

  #projected(): Projection {
    return (this.#projection ??= this.#project());
  }
}
