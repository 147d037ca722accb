const BUCKETS = 256;

/**
 * An immutable map with string keys. Setting a key copies one bucket in 256, so a change costs
 * the same with ten entries as with thousands.
 */
export class PersistentMap<V> {
  readonly #buckets: readonly (ReadonlyMap<string, V> | undefined)[];

  constructor(buckets: readonly (ReadonlyMap<string, V> | undefined)[] = new Array(BUCKETS).fill(undefined)) {
    this.#buckets = buckets;
  }

  get(key: string): V | undefined {
    return this.#buckets[bucketOf(key)]?.get(key);
  }

  /** The map with `value` at `key`; itself if that is already the case. */
  set(key: string, value: V): PersistentMap<V> {
    const at = bucketOf(key);
    const bucket = this.#buckets[at];
    if (bucket?.has(key) && bucket.get(key) === value) return this;
    return new PersistentMap(this.#buckets.with(at, new Map(bucket).set(key, value)));
  }

  /** Maps every value with `change`, in one pass; itself if nothing changes. */
  map(change: (value: V, key: string) => V): PersistentMap<V> {
    let isChanged = false;
    const buckets = this.#buckets.map((bucket) => {
      let next: Map<string, V> | undefined;
      for (const [key, value] of bucket ?? []) {
        const after = change(value, key);
        if (after !== value) (next ??= new Map(bucket)).set(key, after);
      }
      isChanged ||= next !== undefined;
      return next ?? bucket;
    });
    return isChanged ? new PersistentMap(buckets) : this;
  }

  *keys(): Generator<string> {
    for (const bucket of this.#buckets) if (bucket) yield* bucket.keys();
  }

  *values(): Generator<V> {
    for (const bucket of this.#buckets) if (bucket) yield* bucket.values();
  }
}

/** FNV-1a. */
function bucketOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return (hash ^ (hash >>> 15)) & (BUCKETS - 1);
}
