import { RefusedError, v1 } from "@parlance/client";

import type { Chat } from "./chat.svelte";
import { texts } from "./texts";
import { exactly } from "./time";

/** Joins a channel. Whoever is kept out is told why. */
export async function join(chat: Chat, roomId: string): Promise<void> {
  await saidPlainly(() => chat.client.joinRoom(roomId));
}

/** The room cannot be joined; the message says why. */
export class ClosedError extends Error {}

/** Does `work`. Returns why the room is closed, if it is, else an empty text; other failures are told with `failure`. */
export async function whyClosed(chat: Chat, failure: string, work: () => Promise<void>): Promise<string> {
  let why = "";
  await chat.attempt(failure, async () => {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof ClosedError)) throw error;
      why = error.message;
    }
  });
  return why;
}

/** Throws a {@link ClosedError} for refusals that a person understands. */
export async function saidPlainly<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const why = error instanceof RefusedError ? reasonOf(error) : undefined;
    throw why === undefined ? error : new ClosedError(why);
  }
}

function reasonOf({ reason, metadata: { until } }: RefusedError): string | undefined {
  switch (reason) {
    case "banned":
      return until ? texts.closed.bannedUntil(exactly(new Date(until))) : texts.closed.banned;
    case "removed":
      return texts.links.removed;
    case "link_invalid":
      return texts.links.invalid;
    case "room_archived":
    case "room_frozen":
      return texts.links.archived;
    case "not_by_request":
    case "not_member":
      return texts.joining.notByRequest;
    case "request_withdrawn":
      return until ? texts.joining.withdrawn(exactly(new Date(until))) : undefined;
    case "by_request":
      return texts.joining.takesRequest;
    case "not_joinable":
      return texts.joining.notOpen;
    case "request_rejected":
      return until ? texts.joining.rejected(exactly(new Date(until))) : undefined;
    default:
      return undefined;
  }
}

/** How a room is joined, if it has not set that itself. */
export function joiningOf(kind: v1.RoomKind, joining: v1.RoomJoining): v1.RoomJoining {
  if (joining !== v1.RoomJoining.UNSPECIFIED) return joining;
  return kind === v1.RoomKind.CHANNEL ? v1.RoomJoining.OPEN : v1.RoomJoining.BY_INVITATION;
}
