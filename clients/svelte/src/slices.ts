import type { Client, ClientSlices, Room, RoomSlices } from "@parlance/client";
import { createSubscriber } from "svelte/reactivity";

/** A reactive value: tracked when read in a template or an effect; elsewhere, its current value. */
export interface Followed<Value> {
  readonly current: Value;
}

/**
 * A value of a client or a room, such as `slice(client, "rooms")` or `slice(room, "messages")`: frozen, and identical until
 * it changes.
 */
export function slice<Name extends keyof ClientSlices>(source: Client, name: Name): Followed<ClientSlices[Name]>;
export function slice<Name extends keyof RoomSlices>(source: Room, name: Name): Followed<RoomSlices[Name]>;
export function slice(source: Client | Room, name: string): Followed<unknown> {
  const values = source as { subscribe(name: string, changed: () => void): () => void; getSnapshot(name: string): unknown };
  const follow = createSubscriber((changed) => values.subscribe(name, changed));
  return {
    get current() {
      follow();
      return values.getSnapshot(name);
    },
  };
}

/** Those of these users who are online, kept up to date while it is tracked. */
export function online(client: Client, userIds: readonly string[]): Followed<readonly string[]> {
  const follow = createSubscriber((changed) => {
    client.watchPresence(userIds).catch(() => {});
    // Without a connection nobody is known to be online.
    const offs = [client.on("presence", changed), client.subscribe("connection", changed)];
    return () => offs.forEach((off) => off());
  });
  return {
    get current() {
      follow();
      return userIds.filter((userId) => client.isOnline(userId));
    },
  };
}
