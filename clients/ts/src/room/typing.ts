import { milliseconds } from "../errors.js";
import type { Typing as Signal } from "../gen/chat_pb.js";
import type { RoomState } from "../state/room-state.js";
import type { Owner } from "./owner.js";

/** Minimum interval between typing signals. */
const TYPING_EVERY_MS = 3_000;
/** How long a typing signal without an expiry is shown. */
const TYPING_MS = 5_000;

/** Typing in a room: the user's own signals, and the expiry of others'. */
export class Typing {
  readonly #client: Owner;
  readonly #roomId: string;
  readonly #happened: (userId: string, isTyping: boolean) => void;
  readonly #expiries = new Map<string, ReturnType<typeof setTimeout>>();
  /** On the clock of `performance.now()`. */
  #typedAt = Number.NEGATIVE_INFINITY;

  constructor(client: Owner, roomId: string, happened: (userId: string, isTyping: boolean) => void) {
    [this.#client, this.#roomId, this.#happened] = [client, roomId, happened];
  }

  /** Signals that the user is typing, rate-limited. */
  send(): void {
    if (performance.now() - this.#typedAt < TYPING_EVERY_MS || this.#client.state.status !== "online") return;
    this.#typedAt = performance.now();
    this.#client.call("sendTyping", { roomId: this.#roomId }).catch(() => {});
  }

  /** Applies a received signal. */
  received({ userId, expiresAfter }: Signal): void {
    const duration = expiresAfter ? milliseconds(expiresAfter) : TYPING_MS;
    const until = Date.now() + duration;
    const roomId = this.#roomId;
    this.#client.apply({ type: "typing", roomId, userId, until });
    if (!this.#client.stateOf(roomId).typing.has(userId)) return;
    clearTimeout(this.#expiries.get(userId));
    const expire = () => this.#client.apply({ type: "typingExpired", roomId, userId, until });
    this.#expiries.set(userId, setTimeout(expire, duration));
  }

  /** The state of the room has changed. */
  changed(before: RoomState["typing"], after: RoomState["typing"]): void {
    for (const userId of after.keys()) if (!before.has(userId)) this.#happened(userId, true);
    for (const userId of before.keys()) {
      if (after.has(userId)) continue;
      clearTimeout(this.#expiries.get(userId));
      this.#expiries.delete(userId);
      this.#happened(userId, false);
    }
  }
}
