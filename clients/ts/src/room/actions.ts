import type { Ban } from "../client/blocks.js";
import { durationOf } from "../duration.js";
import { Emitter } from "../emitter.js";
import { HistoryVisibility, type Role, type RoomJoining, type RoomPermission } from "../gen/chat_pb.js";
import type { CommandKind, NewCommand, Payloads } from "../queue/command.js";
import type { Answer } from "../queue/request.js";
import type { OperationName, RequestOf, ResponseOf } from "../session/operations.js";
import type { RoomChanges } from "./events.js";
import { emptyRoom, type HistoryAccess } from "../state/room-state.js";
import type { DataChange } from "./message.js";
import { infoOf, type RoomInfo, valuesOf } from "./info.js";
import type { Owner } from "./owner.js";
import type { RoomSlices } from "./snapshots.js";

interface RoomEvents<Room> extends RoomChanges {
  /** Anything of the room changed: messages, unread count, title, typing. At most once for everything received together. */
  change: Room;
}

/** How long someone is kept out or quiet, and why. */
export interface Sanction {
  /** At least 0.001; until it is lifted if omitted. */
  seconds?: number;
  /** Seen by all members. */
  reason?: string;
}

/** Settings of a room, new or not. */
export interface RoomOptions {
  title?: string;
  topic?: string;
  /** URL of a picture: http or https. */
  imageUrl?: string;
  /** How much of the history a new member may read. By default `all` in channels, `since_joined` in groups. */
  history?: HistoryAccess;
  /** Channels: whether everyone finds it in the directory. Takes a title. */
  listed?: boolean;
  /** How users become members. */
  joining?: RoomJoining;
  /** The lowest roles that may do something. Set by the owner; those left out stay as they are, at first the server's default. */
  permissions?: { post?: Role; react?: Role; invite?: Role; editSettings?: Role; deleteMessages?: Role; mentionAll?: Role };
}

/** What is to change about the settings of a room. */
export interface SettingsChange extends RoomOptions, DataChange {
  /** Seconds that a member waits between two messages; 0: no limit. */
  slowModeSeconds?: number;
  /** Nobody but the app writes, reacts, joins or adds members. */
  frozen?: boolean;
  /** Groups and channels are archived by the owner, and admins who may edit settings. In an archived room other changes come with `false`. */
  archived?: boolean;
  /** Permissions that follow the server's default again, for the owner. */
  unsetPermissions?: RoomPermission[];
}

/** The values of a room by name, see {@link RoomInfo}, and what its user can do with it as a whole. */
export interface RoomActions<Room> extends RoomInfo, Emitter<RoomEvents<Room>> {}

export abstract class RoomActions<Room> extends Emitter<RoomEvents<Room>> {
  readonly id: string;
  readonly #client: Owner;

  /** @internal */
  constructor(client: Owner, id: string) {
    super();
    [this.#client, this.id] = [client, id];
  }

  /** A value of the room: frozen, and identical until it changes. */
  abstract getSnapshot<Name extends keyof RoomSlices>(slice: Name): RoomSlices[Name];

  /** Everything but the messages. */
  get info(): RoomInfo {
    return this.getSnapshot("info");
  }

  /** Hides it from {@link Client.rooms} on all of the user's devices until the next message, or shows it again. */
  async setHidden(hidden: boolean): Promise<void> {
    await this.submit("hide", { hidden });
  }

  /** Pins it to the top of the user's list, on all of their devices. */
  async setPinned(pinned: boolean): Promise<void> {
    await this.#prefer({ pinned });
  }

  /** Turns notifications of it off, until a time or until they are turned on again. Unread messages are counted as before. */
  async setMuted(muted: boolean | Date): Promise<void> {
    // The contract has a time as the duration since 1970.
    await this.#prefer(muted instanceof Date ? { muted: true, mutedUntil: durationOf(muted.getTime() / 1_000) } : { muted });
  }

  /** Marks it as unread until the user reads more of it, or takes that back. */
  async setMarkedUnread(markedUnread = true): Promise<void> {
    await this.#prefer({ markedUnread });
  }

  /**
   * Adds users, at most 40 at once. Returns those who were invited instead, because they are strangers to the user and the server takes
   * their consent.
   */
  async addMembers(userIds: readonly string[]): Promise<readonly string[]> {
    const answer = (await this.#change("addMembers", { userIds: [...userIds] })) as Answer | undefined;
    return (answer?.value as ResponseOf<"addMembers">).invitedUserIds;
  }

  /** Removes a member. */
  async removeMember(userId: string): Promise<void> {
    await this.#change("removeMember", { userId });
  }

  /** Removes someone and keeps them from coming back: for a time, or until {@link unbanMember}. */
  async banMember(userId: string, sanction: Sanction = {}): Promise<void> {
    await this.#sanction("banMember", userId, sanction);
  }

  /** Lifts a ban. */
  async unbanMember(userId: string): Promise<void> {
    await this.#change("unbanMember", { userId });
  }

  /** Reads who is banned. Allowed for the owner and admins. */
  async bans(signal?: AbortSignal): Promise<readonly Ban[]> {
    return (await import("../client/blocks.js")).bansOf(this.#client, this.id, signal);
  }

  /** Keeps someone from writing and reacting: for a time, or until {@link unmuteMember}. */
  async muteMember(userId: string, sanction: Sanction = {}): Promise<void> {
    await this.#sanction("muteMember", userId, sanction);
  }

  /** Lifts a mute. */
  async unmuteMember(userId: string): Promise<void> {
    await this.#change("unmuteMember", { userId });
  }

  /** Changes a member's role. */
  async setRole(userId: string, role: Role): Promise<void> {
    await this.#change("setRole", { userId, role });
  }

  /** Changes its settings. Omitted fields, and keys of its data that are not named, stay unchanged. */
  async update(settings: SettingsChange): Promise<void> {
    await this.#change("updateRoom", settingsIn(settings) as RequestOf<"updateRoom">);
  }

  /** Deletes it, with all messages, for everyone: allowed for its owner. Direct rooms stay. */
  async deleteRoom(): Promise<void> {
    await this.#change("deleteRoom", {});
  }

  /** Leaves it. */
  async leave(): Promise<void> {
    await this.submit("leave", {});
  }

  /** @internal Queues a change of this room. */
  protected submit<Kind extends CommandKind>(kind: Kind, payload: Payloads[Kind]): Promise<unknown> {
    return this.#client.submit({ kind, roomId: this.id, payload } as NewCommand);
  }

  #change<Name extends OperationName>(name: Name, request: RequestOf<Name>): Promise<unknown> {
    return this.#client.change(name, { roomId: this.id, ...(request as object) } as RequestOf<Name>);
  }

  async #prefer(preferences: RequestOf<"setRoomPreferences">): Promise<void> {
    await this.#change("setRoomPreferences", preferences);
  }

  #sanction(name: "banMember" | "muteMember", userId: string, { seconds, ...request }: Sanction): Promise<unknown> {
    return this.#change(name, { userId, ...request, ...(seconds !== undefined && { duration: durationOf(seconds) }) });
  }
}

/** Settings in the form of the contract. */
export function settingsIn({ history, ...settings }: RoomOptions): object {
  return history ? { ...settings, historyVisibility: history === "all" ? HistoryVisibility.ALL : HistoryVisibility.SINCE_JOINED } : settings;
}

// Each value of a room is a property of it, too.
const nothing = emptyRoom("");
for (const name of Object.keys(infoOf(nothing, valuesOf(nothing))) as (keyof RoomInfo)[]) {
  Object.defineProperty(RoomActions.prototype, name, {
    get(this: RoomActions<unknown>) {
      return this.info[name];
    },
  });
}
