/**
 * The directory of channels: {@link listDirectory}. Whoever may change the settings of a channel puts it there with
 * `room.update({ listed: true })`.
 *
 * @module
 */
import type { Client } from "./client/client.js";
import type { RoomJoining } from "./gen/chat_pb.js";
import { pages } from "./session/pages.js";

const PAGE = 50;

/** A channel in the directory: the same for everyone. {@link Client.joinRoom} says whether the user may join. */
export interface DirectoryChannel {
  readonly id: string;
  readonly title: string;
  readonly topic: string;
  /** URL of a picture; empty for none. */
  readonly imageUrl: string;
  /** Exact up to 99, otherwise its first two digits: 1,234 is 1,200. */
  readonly memberCount: number;
  /** Open, by request (`requestToJoin` of `@parlance/client/join-requests`), or by invitation alone. */
  readonly joining: RoomJoining;
}

/** Which channels are listed. */
export interface DirectoryOptions {
  /** How their titles begin; case and the amount of white space make no difference. Default: all. */
  titlePrefix?: string;
  /** Channels per request, at most 200. */
  pageSize?: number;
  signal?: AbortSignal;
}

/**
 * Channels by title, read page by page as the loop goes on. One whose title changes during the loop may be missing, but is not in it
 * twice.
 */
export async function* listDirectory(
  client: Client,
  { titlePrefix = "", pageSize = PAGE, signal }: DirectoryOptions = {},
): AsyncGenerator<DirectoryChannel, void> {
  const known = new Set<string>();
  for await (const { rooms } of pages((pageToken) => client.call("listDirectory", { titlePrefix, pageSize, pageToken }, signal))) {
    for (const { roomId: id, title, topic, imageUrl, memberCount, joining } of rooms) {
      if (known.has(id)) continue;
      known.add(id);
      yield Object.freeze({ id, title, topic, imageUrl, memberCount: Number(memberCount), joining });
    }
  }
}
