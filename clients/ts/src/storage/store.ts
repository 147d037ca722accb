import type { Command } from "../queue/command.js";

/** Stored records, by collection. Plain values and byte arrays only. */
export interface Records {
  /** Pending changes, by id. */
  commands: Command | Discarded;
  /** The received position of each room, by room id. */
  cursors: StoredCursor;
  /** The last state of each room that the user is a member of, by room id. */
  rooms: StoredRoom;
  /** The newest messages of the most recently viewed rooms, by room id. */
  messages: StoredMessages;
  /** Facts about the store itself, by name. */
  meta: StoredFact;
}

/** A command that was discarded in one tab, so that no other sends it. */
export interface Discarded {
  readonly id: string;
  readonly state: "discarded";
  /** When, in milliseconds since 1970: it is dropped a day later. */
  readonly writtenAt: number;
}

export interface StoredCursor {
  readonly roomId: string;
  readonly seq: number;
  /** Decimal: it has 64 bits. */
  readonly epoch: string;
}

export interface StoredRoom {
  readonly roomId: string;
  /** An encoded `parlance.v1.InboxEntry`. */
  readonly entry: Uint8Array;
}

export interface StoredMessages {
  readonly roomId: string;
  /** The room's epoch that the seqs belong to, decimal. */
  readonly epoch: string;
  /** The log from here to `to` is complete: there are no other messages in between. */
  readonly from: number;
  readonly to: number;
  readonly hasOlder: boolean;
  /** Encoded `parlance.v1.Event`s of the messages in their present form, by seq. */
  readonly events: readonly Uint8Array[];
  /** When, in milliseconds since 1970: the most recently written ones are kept. */
  readonly writtenAt: number;
}

export interface StoredFact {
  readonly name: string;
  readonly value: string;
}

export type Collection = keyof Records;

/** The field used as the key of a record. */
export const KEY: { readonly [C in Collection]: string } = {
  commands: "id",
  cursors: "roomId",
  rooms: "roomId",
  messages: "roomId",
  meta: "name",
};
export const COLLECTIONS = Object.keys(KEY) as readonly Collection[];

/** Puts a record, or deletes it if `value` is undefined. */
export type Change = { [C in Collection]: { collection: C; key: string; value: Records[C] | undefined } }[Collection];

/** An open store: a client's data of one user across restarts. */
export interface Store {
  /** Returns one record. */
  read<C extends Collection>(collection: C, key: string): Promise<Records[C] | undefined>;
  /** Returns all records of a collection, in any order. */
  readAll<C extends Collection>(collection: C): Promise<Records[C][]>;
  /** Applies all changes or none. Resolves once they survive the page or process. */
  write(changes: readonly Change[]): Promise<void>;
  /**
   * Reads a record, and writes the result of `next`, without another write in between, even from another tab. Returns the
   * new record; undefined deletes it.
   */
  update<C extends Collection>(
    collection: C,
    key: string,
    next: (current: Records[C] | undefined) => Records[C] | undefined,
  ): Promise<Records[C] | undefined>;
  /** Calls `listener` once if the store becomes unusable or loses data. It is reopened then. */
  onLost(listener: (why: Error) => void): void;
  /** Releases it. Nothing is deleted. */
  close(): Promise<void>;
}

/** A place in which a store is opened. */
export interface Storage {
  /**
   * Opens the store, and migrates data of an earlier version. May be called again after the store was lost. `blocked` is
   * called if something else, such as a tab of an earlier version, blocks it for now.
   */
  open(blocked?: (why: Error) => void): Promise<Store>;
  /**
   * Has these collections erased when the store is next opened, by any page or process. Called on sign-out if the store
   * does not answer. Without it, such a store keeps its data.
   */
  eraseLater?(collections: readonly Collection[]): void;
  /** The name of the store within its origin, if tabs share it. */
  readonly sharedAs?: string;
}

/** A storage cannot be opened or written. */
export class StorageError extends Error {
  override name = "StorageError";
}
