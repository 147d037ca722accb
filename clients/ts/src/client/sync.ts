import type { Emitter } from "../emitter.js";
import type { Event, Gap, Receipt, RoomPreferences, Signal, Welcome } from "../gen/chat_pb.js";
import type { Command } from "../queue/command.js";
import type { CommandQueue } from "../queue/queue.js";
import type { Answer } from "../queue/request.js";
import { date } from "../room/message.js";
import { receiptOf } from "../room/info.js";
import type { Session } from "../session/session.js";
import type { ReadMark } from "../state/unread.js";
import type { ClientEvents } from "./api.js";
import { Acknowledger } from "./acknowledger.js";
import { Inbox } from "./inbox.js";
import type { Presence } from "./presence.js";
import type { Rooms } from "./rooms.js";
import type { Startup } from "./startup.js";

/** The parts involved. */
interface Parts {
  readonly session: Session;
  readonly queue: CommandQueue;
  readonly rooms: Rooms;
  readonly presence: Presence;
  readonly startup: Startup;
  readonly emitter: Emitter<ClientEvents>;
}

/** Applies what the session receives to the rooms, and requests what rooms need. */
export class Sync {
  readonly inbox: Inbox;
  /** Whether received events are acknowledged. */
  acknowledges = true;
  serverAheadMs = 0;
  readonly #parts: Parts;
  readonly #received: Acknowledger;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { session, queue, rooms, startup } = parts;
    this.#received = new Acknowledger(session);
    this.inbox = new Inbox(session, {
      order: () => rooms.nextOrder(),
      heads: () => rooms.heads(),
      entry: (entry, order) => rooms.apply({ type: "inbox", roomId: entry.room?.roomId ?? "", entry, order }),
      unlisted: (roomId, headSeq) => rooms.apply({ type: "unlisted", roomId, headSeq }),
      isStale: () => rooms.isStale(),
      done: () => this.#inboxRead(),
      failed: (error) => startup.failed(error),
    });
    queue.on("confirmed", ({ command, answer }) => this.#carriedOut(command, answer));
    session.on("state", ({ status }) => status !== "online" && this.inbox.offline());
    session.on("welcome", (welcome) => this.#welcomed(welcome));
    session.on("event", (event) => this.#event(event));
    session.on("gap", (gap) => this.#gap(gap));
    session.on("signal", (signal) => this.#signal(signal));
  }

  #welcomed({ userId, heads, serverTime }: Welcome): void {
    const { rooms } = this.#parts;
    if (serverTime) this.serverAheadMs = date(serverTime).getTime() - Date.now();
    const epochs = heads.map(({ roomId, seq, epoch }) => ({ roomId, seq: Number(seq), epoch: Number(epoch) }));
    rooms.apply({ type: "welcome", userId, heads: epochs });
    void this.inbox.refresh();
    for (const room of rooms.all()) room.resumed();
  }

  #event(event: Event): void {
    const { rooms, queue, emitter } = this.#parts;
    const { roomId } = event;
    rooms.apply({ type: "event", roomId, event });
    rooms.get(roomId)?.event(event);
    queue.observed(roomId, Number(event.seq));
    // The head may be further ahead, according to the inbox.
    if (this.acknowledges) this.#received.handled(roomId, event.seq);
    emitter.emit("event", event);
  }

  #gap(gap: Gap): void {
    const { rooms, emitter } = this.#parts;
    const { roomId } = gap;
    const before = rooms.stateOf(roomId);
    rooms.apply({ type: "gap", roomId, gap });
    rooms.get(roomId)?.gap(gap, before);
    emitter.emit("gap", gap);
  }

  #signal({ signal }: Signal): void {
    const { rooms, presence, emitter } = this.#parts;
    emitter.emit("signal", signal);
    switch (signal.case) {
      case "typing":
        rooms.get(signal.value.roomId)?.types(signal.value);
        break;
      case "receipt":
        this.#receipt(signal.value);
        break;
      case "presence":
        presence.signal(signal.value.userId, signal.value.online);
        break;
      case "userUpdated":
        emitter.emit("user", signal.value);
        break;
      case "roomHidden": {
        const { roomId, hidden } = signal.value;
        rooms.apply({ type: "hidden", roomId, hidden, order: rooms.nextOrder() });
        // The inbox includes whether there was a message since.
        void this.inbox.refresh();
        break;
      }
      case "roomPreferences":
        this.#prefers(signal.value.roomId, signal.value.preferences);
    }
  }

  #prefers(roomId: string, preferences: RoomPreferences | undefined): void {
    const { rooms } = this.#parts;
    rooms.apply({ type: "preferences", roomId, preferences, order: rooms.nextOrder() });
  }

  #receipt(receipt: Receipt): void {
    const { rooms } = this.#parts;
    const { roomId, userId } = receipt;
    if (userId !== rooms.userId) rooms.apply({ type: "receipts", roomId, receipts: [receiptOf(receipt)] });
    // Another device of the same user.
    else if (receipt.readSeq > 0n) rooms.apply({ type: "read", roomId, mark: markOf(receipt) });
  }

  #inboxRead(): void {
    const { rooms, startup, presence } = this.#parts;
    rooms.complete();
    startup.succeeded();
    // Before the network may be lost. Those who read events show none.
    if (this.acknowledges) rooms.prepare().catch(() => {});
    void presence.lookUp().catch(() => {});
  }

  /** Applies data of an answer that is in no event. */
  #carriedOut({ kind, roomId = "", payload }: Command, { case: operation, value }: Answer): void {
    const { rooms } = this.#parts;
    if (operation === "markRead" && value.read) {
      const mark = { seq: Number(value.read.seq), messageCount: Number(value.read.messageCount) };
      rooms.apply({ type: "read", roomId, mark });
    } else if (kind === "hide") {
      rooms.apply({ type: "hidden", roomId, hidden: payload.hidden, order: rooms.nextOrder() });
      void this.inbox.refresh();
    } else if (operation === "setRoomPreferences") this.#prefers(roomId, value.preferences);
  }
}

/** The user's read mark, with its message count if the server sends it. */
function markOf({ readSeq, messageCount }: Receipt): ReadMark {
  return { seq: Number(readSeq), messageCount: messageCount === undefined ? undefined : Number(messageCount) };
}
