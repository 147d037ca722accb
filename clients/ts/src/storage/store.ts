import type { Command } from "../queue/command.js";

/** Version of the stored form. Stores of earlier versions are migrated when they are opened. */
export const STORE_VERSION = 2;

/** What is stored, by collection. Plain values and byte arrays only. */
export interface Records {
  /** Changes on their way to the server, by id. */
  commands: Command | Discarded;
  /** How far each room has been received, by room id. */
  cursors: StoredCursor;
  /** Each room that one is a member of, as it was last, by room id. */
  rooms: StoredRoom;
  /** The newest messages of the rooms that were looked at last, by room id. */
  messages: StoredMessages;
  /** Facts about the store itself, by name. */
  meta: StoredFact;
}

/** A command that was discarded in one tab, so that no other sends it. */
export interface Discarded {
  readonly id: string;
  readonly state: "discarded";
  /** When, in milliseconds since 1970: it is forgotten a day later. */
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
  /** When, in milliseconds since 1970: those that were written last are kept. */
  readonly writtenAt: number;
}

export interface StoredFact {
  readonly name: string;
  readonly value: string;
}

export type Collection = keyof Records;
export const COLLECTIONS: readonly Collection[] = ["commands", "cursors", "rooms", "messages", "meta"];

/** The field that a record is stored under. */
export const KEY: { readonly [C in Collection]: string } = {
  commands: "id",
  cursors: "roomId",
  rooms: "roomId",
  messages: "roomId",
  meta: "name",
};

/** Puts a record, or deletes it where `value` is undefined. */
export type Change = { [C in Collection]: { collection: C; key: string; value: Records[C] | undefined } }[Collection];

/** An open store: what a client keeps of one user over restarts. */
export interface Store {
  /** Returns one record. */
  read<C extends Collection>(collection: C, key: string): Promise<Records[C] | undefined>;
  /** Returns all records of a collection, in any order. */
  readAll<C extends Collection>(collection: C): Promise<Records[C][]>;
  /** Applies all changes or none. Resolves once they outlive the page or process. */
  write(changes: readonly Change[]): Promise<void>;
  /**
   * Reads a record, and writes what `next` makes of it, without another write in between, also from
   * another tab. Returns the new record; undefined deletes it.
   */
  update<C extends Collection>(
    collection: C,
    key: string,
    next: (current: Records[C] | undefined) => Records[C] | undefined,
  ): Promise<Records[C] | undefined>;
  /** Calls `listener` once if the store becomes unusable or loses what it has. It is opened again then. */
  onLost(listener: (why: Error) => void): void;
  /** Releases it. Nothing is deleted. */
  close(): Promise<void>;
}

/** A place that a store is opened in. */
export interface Storage {
  /**
   * Opens the store, and migrates what an earlier version has left. May be called again after the
   * store was lost. `blocked` is called where something else, such as a tab of an earlier version, is
   * in the way for now.
   */
  open(blocked?: (why: Error) => void): Promise<Store>;
  /**
   * Has these collections erased as soon as the store is opened again, by whatever page or process. Called when signing out
   * where the store does not answer. Without it, what such a store has stays there.
   */
  eraseLater?(collections: readonly Collection[]): void;
  /** Names the store among those of its origin, where tabs share it. */
  readonly sharedAs?: string;
}

/** A storage cannot be opened or written. */
export class StorageError extends Error {
  override name = "StorageError";
}
