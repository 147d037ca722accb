import { v1 } from "@parlance/client";

import { texts } from "./texts";

/** What happened to somebody. */
type UserNote = "joined" | "added" | "left" | "removed" | "banned" | "unbanned" | "muted" | "unmuted" | "invited" | "declined" | "revoked" | "joinedByLink" | "asked" | "withdrew" | "rejected";

/** What a change of settings was about. */
type SettingsNote = "changed" | "archived" | "unarchived" | "frozen" | "unfrozen" | "slow" | "permissions" | "history";

/** Settings whose changes have notes of their own. */
interface Settings {
  readonly title: string;
  readonly isArchived: boolean;
  readonly isFrozen: boolean;
  readonly slowModeSeconds: number;
  /** Whether new members read what was sent before they joined. */
  readonly isHistoryOpen: boolean;
  /** In a form to compare. */
  readonly permissions: string;
}

/** An event of a room other than a message. */
export interface Note {
  readonly seq: number;
  readonly at: Date;
  readonly actorId: string;
  readonly what:
    | { readonly kind: "linkMade" | "linkRevoked" }
    | { readonly kind: "created"; readonly settings?: Settings }
    | { readonly kind: SettingsNote; readonly settings: Settings }
    | { readonly kind: UserNote; readonly userId: string }
    | { readonly kind: "owner" | "admin" | "member"; readonly userId: string };
}

const ROLES: Partial<Record<v1.Role, "owner" | "admin" | "member">> = {
  [v1.Role.OWNER]: "owner",
  [v1.Role.ADMIN]: "admin",
  [v1.Role.MEMBER]: "member",
};

/** The note for an event; undefined for messages and their changes. */
export function noteOf({ seq, at, actorId, body }: v1.Event): Note | undefined {
  const note = (what: Note["what"]): Note => ({
    seq: Number(seq),
    at: new Date(at ? Number(at.seconds) * 1_000 + at.nanos / 1e6 : 0),
    actorId,
    what,
  });
  switch (body.case) {
    case "roomCreated":
      return note({ kind: "created", settings: settingsOf(body.value.settings) });
    case "roomChanged":
      return note({ kind: "changed", settings: settingsOf(body.value.settings) });
    case "memberAdded":
      return note({ kind: body.value.linkSeq > 0n ? "joinedByLink" : body.value.userId === actorId ? "joined" : "added", userId: body.value.userId });
    case "memberRemoved":
      return note({ kind: body.value.userId === actorId ? "left" : "removed", userId: body.value.userId });
    case "memberBanned":
      return note({ kind: "banned", userId: body.value.userId });
    case "memberUnbanned":
      return note({ kind: "unbanned", userId: body.value.userId });
    case "memberMuted":
      return note({ kind: "muted", userId: body.value.userId });
    case "memberUnmuted":
      return note({ kind: "unmuted", userId: body.value.userId });
    case "memberInvited":
      return note({ kind: "invited", userId: body.value.userId });
    case "invitationEnded":
      return note({ kind: body.value.userId === actorId ? "declined" : "revoked", userId: body.value.userId });
    case "joinRequested":
      return note({ kind: "asked", userId: body.value.userId });
    case "joinRequestEnded":
      return note({ kind: body.value.userId === actorId ? "withdrew" : "rejected", userId: body.value.userId });
    case "invitationLinkCreated":
      return note({ kind: "linkMade" });
    case "invitationLinkRevoked":
      return note({ kind: "linkRevoked" });
    case "roleChanged": {
      const kind = ROLES[body.value.role];
      return kind && note({ kind, userId: body.value.userId });
    }
    default:
      return undefined;
  }
}

function settingsOf(settings: v1.RoomSettings | undefined): Settings {
  const { post, react, invite, editSettings, deleteMessages, mentionAll } = settings?.permissions ?? {};
  return {
    title: settings?.title ?? "",
    isArchived: settings?.archived ?? false,
    isFrozen: settings?.frozen ?? false,
    slowModeSeconds: settings?.slowModeSeconds ?? 0,
    isHistoryOpen: settings?.historyVisibility === v1.HistoryVisibility.ALL,
    permissions: [post, react, invite, editSettings, deleteMessages, mentionAll].map((role) => role ?? v1.Role.UNSPECIFIED).join(),
  };
}

/** `notes`, in ascending order, with what their changes of settings were about: an event has all settings, and not which of them changed. */
export function withChanges(notes: readonly Note[]): Note[] {
  let before: Settings | undefined;
  return notes.map((note) => {
    const { what } = note;
    if (!("settings" in what) || what.settings === undefined) return note;
    const { kind, settings } = what;
    const is = kind === "created" ? kind : changeOf(before, settings);
    before = settings;
    return is === kind ? note : { ...note, what: { kind: is, settings } };
  });
}

/** Without what was before, a change in a closed room is taken for the one that closed it: few follow. */
function changeOf(before: Settings | undefined, after: Settings): SettingsNote {
  // Nothing else changes in an archived room.
  if (after.isArchived) return "archived";
  if (before?.isArchived) return "unarchived";
  if (after.isFrozen !== (before?.isFrozen ?? false)) return after.isFrozen ? "frozen" : "unfrozen";
  if (before === undefined) return "changed";
  if (after.slowModeSeconds !== before.slowModeSeconds) return "slow";
  if (after.isHistoryOpen !== before.isHistoryOpen) return "history";
  return after.permissions === before.permissions ? "changed" : "permissions";
}

/** Users named in one line; further ones are counted. */
const MOST_NAMES = 4;
/** Consecutive lines; further ones are counted. */
const MOST_LINES = 6;

/** The lines for notes; those of one kind by one user are combined. */
export function linesOf(notes: readonly Note[], name: (userId: string) => string): string[] {
  const groups: Note[][] = [];
  for (const note of notes) {
    // The creator's own membership is implied.
    const first = groups.at(-1)?.[0];
    if (first?.what.kind === "created" && note.what.kind === "joined" && note.actorId === first.actorId) continue;
    const group = groups.at(-1);
    if (group && continues(group[0]!, note)) group.push(note);
    else groups.push([note]);
  }
  const lines = groups.slice(0, MOST_LINES).map((group) => lineOf(group, name));
  return groups.length > MOST_LINES ? [...lines, texts.notes.more(groups.length - MOST_LINES)] : lines;
}

function continues(first: Note, next: Note): boolean {
  if (first.what.kind !== next.what.kind) return false;
  if (first.what.kind === "permissions") return first.actorId === next.actorId;
  if (!("userId" in first.what)) return false;
  // Joins, leaves and answers of many users are combined; everything else by one actor only.
  return first.actorId === next.actorId || ["joined", "left", "declined", "joinedByLink", "asked", "withdrew"].includes(first.what.kind);
}

function lineOf(group: readonly Note[], name: (userId: string) => string): string {
  const { actorId, what } = group[0]!;
  const actor = name(actorId);
  const userIds = [...new Set(group.flatMap(({ what }) => ("userId" in what ? [what.userId] : [])))];
  const names = userIds.slice(0, MOST_NAMES).map(name);
  if (userIds.length > MOST_NAMES) names.push(texts.notes.others(userIds.length - MOST_NAMES));
  switch (what.kind) {
    case "created":
      return texts.notes.created(actor);
    case "archived":
    case "unarchived":
    case "frozen":
    case "unfrozen":
    case "permissions":
    case "linkMade":
    case "linkRevoked":
      return texts.notes[what.kind](actor);
    case "slow":
      return texts.notes.slow(actor, what.settings.slowModeSeconds);
    case "history":
      return texts.notes.history(actor, what.settings.isHistoryOpen);
    case "changed":
      return texts.notes.changed(actor, what.settings.title || texts.place.untitled);
    case "joined":
      return texts.notes.joined(names);
    case "added":
      return texts.notes.added(actor, names);
    case "left":
      return texts.notes.left(names);
    case "removed":
      return texts.notes.removed(actor, names);
    case "banned":
      return texts.notes.banned(actor, names);
    case "unbanned":
      return texts.notes.unbanned(actor, names);
    case "muted":
    case "unmuted":
    case "invited":
    case "revoked":
    case "rejected":
      return texts.notes[what.kind](actor, names);
    case "declined":
    case "joinedByLink":
    case "asked":
    case "withdrew":
      return texts.notes[what.kind](names);
    case "owner":
      return texts.notes.madeOwner(actor, names);
    case "admin":
      return texts.notes.madeAdmin(actor, names);
    case "member":
      return texts.notes.madeMember(actor, names);
  }
}
