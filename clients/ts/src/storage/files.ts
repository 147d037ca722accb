/// <reference types="node" />
import { writeFileSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout } from "node:timers/promises";

import { Tables } from "./memory.js";
import { type Change, type Collection, COLLECTIONS, KEY, type Storage, StorageError, type Store } from "./store.js";
import { STORE_VERSION } from "./version.js";

/** The journal is rewritten once it has this many more lines than there are records. */
const SLACK = 1_000;

/** Number of attempts of each process when several open a directory at once, at random times within this interval. */
const ATTEMPTS = 5;
const RIVAL_MS = 50;

/** An empty file with this name and a collection's, such as `erase.rooms`: the collection is to be erased. */
const ERASE = "erase.";

/** Directories open in this process. */
const opened = new Set<string>();

/**
 * A store in a directory, for Node. All records are in memory, too; changes are appended to a journal, one line per write, so
 * that a crash keeps a write completely or not at all. One process at a time may open a directory.
 */
export class FileStorage implements Storage {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = path.resolve(directory);
  }

  async open(): Promise<Store> {
    const made = await mkdir(this.#directory, { recursive: true });
    if (made !== undefined) await syncFolder(path.dirname(made));
    const unlock = await lock(this.#directory);
    try {
      const journal = await Journal.open(path.join(this.#directory, "journal.jsonl"));
      await eraseNoted(this.#directory, journal);
      return {
        read: async (collection, key) => journal.tables.get(collection, key),
        readAll: async (collection) => [...journal.tables.table(collection).values()],
        write: (changes) => journal.append(() => changes),
        update: async (collection, key, next) => {
          let value: ReturnType<typeof next>;
          await journal.append(() => {
            value = next(journal.tables.get(collection, key));
            return [{ collection, key, value } as Change];
          });
          return value;
        },
        onLost: () => {},
        close: async () => {
          await journal.close();
          await unlock();
        },
      };
    } catch (error) {
      await unlock();
      throw error;
    }
  }

  /** Recorded next to the journal, which cannot be written for now. */
  eraseLater(collections: readonly Collection[]): void {
    try {
      for (const collection of collections) writeFileSync(path.join(this.#directory, `${ERASE}${collection}`), "");
    } catch {
      // The directory cannot be written either.
    }
  }
}

/** Erases what could not be erased when its user signed out. */
async function eraseNoted(directory: string, journal: Journal): Promise<void> {
  const noted = (await readdir(directory)).filter((name) => name.startsWith(ERASE));
  const collections = COLLECTIONS.filter((collection) => noted.includes(`${ERASE}${collection}`));
  await journal.append(() =>
    collections.flatMap((collection) => [...journal.tables.table(collection).keys()].map((key) => ({ collection, key, value: undefined }) as Change)),
  );
  for (const name of noted) await rm(path.join(directory, name), { force: true });
}

/** A file of changes, and the resulting records. */
class Journal {
  readonly tables = new Tables();
  readonly #path: string;
  #file: FileHandle | undefined;
  #lines = 0;
  /** The last line may be cut off: nothing may follow it. */
  #isTorn = false;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(path: string) {
    this.#path = path;
  }

  static async open(path: string): Promise<Journal> {
    const journal = new Journal(path);
    await journal.#replay();
    await journal.#compact();
    return journal;
  }

  /** Appends the result of `changes`, after everything appended before. */
  append(changes: () => readonly Change[]): Promise<void> {
    const appended = this.#last.then(async () => {
      const next = changes();
      if (next.length === 0) return;
      if (!this.#file) throw new StorageError("the store is closed");
      if (this.#isTorn) await this.#compact();
      this.#isTorn = true;
      await this.#file.appendFile(`${encode(next)}\n`);
      await this.#file.datasync();
      this.#isTorn = false;
      this.tables.apply(next);
      this.#lines++;
      if (this.#lines > this.#size() + SLACK) await this.#compact();
    });
    this.#last = appended.catch(() => {});
    return appended;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #replay(): Promise<void> {
    const text = await readFile(this.#path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return "";
      throw error;
    });
    const [header, ...lines] = text.split("\n");
    if (!header) return;
    const { version } = JSON.parse(header) as { version: number };
    if (version > STORE_VERSION) throw new StorageError(`${this.#path} was written by a later version (${version})`);
    // The rest after the last line end was cut off by a crash, and never acknowledged.
    for (const line of lines.slice(0, -1)) if (line) this.tables.apply(decode(line));
  }

  /** Rewrites the records to a new file, which replaces the journal. */
  async #compact(): Promise<void> {
    const changes = COLLECTIONS.flatMap((collection) =>
      [...this.tables.table(collection)].map(([key, value]) => ({ collection, key, value }) as Change),
    );
    const lines = [JSON.stringify({ version: STORE_VERSION }), ...changes.map((change) => encode([change]))];
    const beside = `${this.#path}.new`;
    const file = await open(beside, "w");
    try {
      await file.writeFile(`${lines.join("\n")}\n`);
      await file.datasync();
    } finally {
      await file.close();
    }
    await this.#file?.close();
    await rename(beside, this.#path);
    await syncFolder(path.dirname(this.#path));
    this.#file = await open(this.#path, "a");
    this.#lines = changes.length;
    this.#isTorn = false;
  }

  #size(): number {
    return COLLECTIONS.reduce((sum, collection) => sum + this.tables.table(collection).size, 0);
  }
}

/** Makes names in a folder durable: new files and renames are lost with the power otherwise. */
async function syncFolder(folder: string): Promise<void> {
  // Some platforms, such as Windows, open no folders.
  const handle = await open(folder, "r").catch(() => undefined);
  try {
    await handle?.sync();
  } finally {
    await handle?.close();
  }
}

/** Bytes are encoded as base64, in an object that no record contains. */
function encode(changes: readonly Change[]): string {
  const compact = changes.map(({ collection, key, value }) => (value === undefined ? [collection, key] : [collection, value]));
  return JSON.stringify(compact, (_, value: unknown) =>
    value instanceof Uint8Array ? { $bytes: Buffer.from(value).toString("base64") } : value,
  );
}

function decode(line: string): Change[] {
  const compact = JSON.parse(line, (_, value: unknown) => {
    const bytes = typeof value === "object" && value !== null && "$bytes" in value ? value.$bytes : undefined;
    return typeof bytes === "string" ? new Uint8Array(Buffer.from(bytes, "base64")) : value;
  }) as [Collection, string | Record<string, string>][];
  return compact.map(([collection, value]) => {
    if (typeof value === "string") return { collection, key: value, value: undefined } as Change;
    return { collection, key: value[KEY[collection]], value } as unknown as Change;
  });
}

/** Locks the directory against other processes. Returns a function that unlocks it. */
async function lock(directory: string): Promise<() => Promise<void>> {
  const file = path.join(directory, "lock");
  if (opened.has(directory)) throw new StorageError(`${directory} is open in this process already`);
  opened.add(directory);
  try {
    for (let attempt = 1; ; attempt++) {
      const rival = await take(directory, file);
      if (rival === undefined) break;
      if (attempt === ATTEMPTS) throw new StorageError(`${directory} is being opened by process ${rival}`);
      await setTimeout(Math.random() * RIVAL_MS);
    }
  } catch (error) {
    opened.delete(directory);
    throw error;
  }
  return async () => {
    opened.delete(directory);
    await rm(file, { force: true });
  };
}

/**
 * Writes the lock, replacing one left by a crash. A process announces that in a file of its own first, and removes no lock
 * while another process does the same: of two that start at once at least one sees the other, and an unwritten lock is not
 * mistaken for one left by a crash. Returns the other process, if there is one.
 */
async function take(directory: string, file: string): Promise<number | undefined> {
  const write = (name: string, flag: string) => writeFile(name, String(process.pid), { flag });
  const own = `${file}.${process.pid}`;
  await write(own, "w");
  try {
    if (await isNew(write(file, "wx"))) return undefined;
    const rivals: number[] = [];
    for (const name of await readdir(directory)) {
      const pid = Number(/^lock\.(\d+)$/.exec(name)?.[1]);
      if (isAlive(pid)) rivals.push(pid);
      else if (pid && pid !== process.pid) await rm(path.join(directory, name), { force: true });
    }
    // Read after that: its process may have ended.
    const owner = Number(await readFile(file, "utf8").catch(() => ""));
    if (isAlive(owner)) throw new StorageError(`${directory} is open in process ${owner}; its lock is ${file}`);
    if (rivals.length > 0) return rivals[0];
    await rm(file, { force: true });
    return (await isNew(write(file, "wx"))) ? undefined : 0;
  } finally {
    await rm(own, { force: true });
  }
}

/** Whether a file was written that must not have existed before. */
function isNew(written: Promise<void>): Promise<boolean> {
  return written.then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
      return false;
    },
  );
}

function isAlive(pid: number): boolean {
  // The own process id belongs to an earlier process: this one's directories are known.
  if (!(pid > 0) || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
