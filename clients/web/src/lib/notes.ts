import { v1 } from "@parlance/client";

import { texts } from "./texts";

/** What happened to somebody. */
type UserNote = "joined" | "added" | "left" | "removed" | "banned" | "unbanned" | "muted" | "unmuted" | "invited" | "declined" | "revoked" | "joinedByLink" | "asked" | "withdrew" | "rejected";

/** An event of a room other than a message. */
export interface Note {
  readonly seq: number;
  readonly at: Date;
  readonly actorId: string;
  readonly what:
    | { readonly kind: "created" | "archived" | "unarchived" | "linkMade" | "linkRevoked" }
    | { readonly kind: "changed"; readonly title: string }
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
      return note({ kind: "created" });
    case "roomChanged":
      // Nothing else changes in an archived room.
      return note(body.value.settings?.archived ? { kind: "archived" } : { kind: "changed", title: body.value.settings?.title ?? "" });
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

/** Which changes of settings have ended an archive: those that follow it. `notes` are in ascending order. */
export function withUnarchived(notes: readonly Note[]): Note[] {
  let isArchived = false;
  return notes.map((note) => {
    const { kind } = note.what;
    const ends = isArchived && kind === "changed";
    isArchived = kind === "archived" || (isArchived && !ends && kind !== "unarchived");
    return ends ? { ...note, what: { kind: "unarchived" } } : note;
  });
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
  if (first.what.kind !== next.what.kind || !("userId" in first.what)) return false;
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
    case "linkMade":
    case "linkRevoked":
      return texts.notes[what.kind](actor);
    case "changed":
      return texts.notes.changed(actor, what.title || texts.place.untitled);
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
