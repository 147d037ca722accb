import { type Room, v1 } from "@parlance/client";

import type { Chat } from "./chat.svelte";
import { nameOfKind } from "./kinds";
import { route } from "./route.svelte";
import { shared } from "./storage";
import { isFor } from "./text";
import { texts } from "./texts";

const KEY = "parlance:notifications";
/** Older messages are history that is received now. */
const FRESH_MS = 60_000;

/** Notifies about messages while the page is not focused: with consent, and for channels only about
 * mentions. */
export class Notifications {
  readonly #chat: Chat;
  /** Enabled, and allowed by the browser. */
  isOn = $state(false);

  constructor(chat: Chat) {
    this.#chat = chat;
    this.isOn = shared.get(KEY) === "on" && this.isSupported && Notification.permission === "granted";
    chat.client.on("event", (event) => {
      const { body, actorId, at } = event;
      const room = chat.client.room(event.roomId);
      if (body.case !== "message" || actorId === chat.userId || !room || !this.isOn || document.hasFocus()) return;
      if (room.mutedUntil > chat.client.serverTime || chat.hides(room, actorId)) return;
      if (chat.client.serverTime - Number(at?.seconds ?? 0n) * 1000 > FRESH_MS) return;
      if (room.kind === v1.RoomKind.CHANNEL && !isFor(body.value, chat.userId)) return;
      this.#show(room, actorId, body.value);
    });
  }

  get isSupported(): boolean {
    return "Notification" in globalThis;
  }

  /** Requests permission, if necessary. */
  async turn(on: boolean): Promise<void> {
    if (on && (await Notification.requestPermission()) !== "granted") {
      this.#chat.problem = texts.account.notAllowed;
      return;
    }
    this.isOn = on;
    shared.set(KEY, on ? "on" : "off");
  }

  #show(room: Room, senderId: string, { kind, text }: v1.Message): void {
    const sender = this.#chat.people.name(senderId);
    const inRoom = room.kind === v1.RoomKind.DIRECT ? sender : texts.notifications.inRoom(sender, this.#chat.titleOf(room));
    const title = kind === "system" ? this.#chat.titleOf(room) : inRoom;
    const body = text || texts.message.ofKind(nameOfKind(kind));
    // One per room: the latest.
    let shown: Notification;
    try {
      shown = new Notification(title, { body: body.slice(0, 200), tag: room.id, icon: "icon.svg" });
    } catch {
      // Mobile browsers require a service worker for it.
      this.isOn = false;
      return;
    }
    shown.onclick = () => {
      window.focus();
      route.open({ room: room.id });
      shown.close();
    };
  }
}
