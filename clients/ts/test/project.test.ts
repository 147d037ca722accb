import { expect, test } from "vitest";

import { coalesce } from "../src/queue/coalesce.js";
import type { Command, NewCommand } from "../src/queue/command.js";
import { type Confirmed, project } from "../src/queue/project.js";
import { messageOf } from "../src/room/message.js";
import { message } from "./fake.js";

const messages = [1n, 2n, 3n].map((seq) => {
  const event = message("r", seq, `text ${seq}`);
  return messageOf(event, event.body.value as never);
});
const values = { headSeq: 3, readSeq: 0, unreadCount: 3, isHidden: false, isMember: true, isPinned: false, mutedUntil: 0, isMarkedUnread: false };
const confirmed: Confirmed = { roomId: "r", userId: "alice", messages, isAtEnd: true, values };

let writtenAt = 0;
const queued = (command: NewCommand, state: Partial<Command> = {}): Command =>
  ({ roomId: "r", id: `c${++writtenAt}`, writtenAt, state: "waiting", ...command, ...state }) as Command;
const edit = (seq: number, text: string, state: Partial<Command> = {}) => queued({ kind: "edit", payload: { seq, text } }, state);
const react = (emoji: string, state: Partial<Command> = {}) => queued({ kind: "react", payload: { seq: 2, emoji } }, state);

test("without commands the confirmed state is returned itself", () => {
  const other = queued({ kind: "leave", payload: {}, roomId: "other" });
  expect(project(confirmed, [other]).messages).toBe(messages);
  expect(project(confirmed, [other]).values).toBe(values);
});

test("edits, deletions and reactions are shown at once and marked as pending", () => {
  const commands = [edit(1, "better"), queued({ kind: "delete", payload: { seq: 3 } }), react("👍")];
  const [first, second, third] = project(confirmed, commands).messages;
  expect(first).toMatchObject({ text: "better", editedAt: expect.any(Date), pending: [{ kind: "edit", state: "pending", id: commands[0]!.id }] });
  expect(second).toMatchObject({ reactions: [{ emoji: "👍", userIds: ["alice"] }], pending: [{ kind: "react" }] });
  expect(third).toMatchObject({ deleted: true, text: "", pending: [{ kind: "delete" }] });
  expect(messages[0]).not.toHaveProperty("pending");
});

test("commands are rebased on what arrives meanwhile", () => {
  const commands = [edit(1, "mine")];
  const changed = { ...messages[0]!, text: "of another device", changedSeq: 9 };
  expect(project({ ...confirmed, messages: [changed, ...messages.slice(1)] }, commands).messages[0]).toMatchObject({ text: "mine" });
  const deleted = { ...messages[0]!, text: "", deleted: true, changedSeq: 10 };
  expect(project({ ...confirmed, messages: [deleted, ...messages.slice(1)] }, commands).messages[0]).toBe(deleted);
});

test("a refused change leaves what is confirmed, with its reason", () => {
  const failed = edit(1, "better", { state: "failed", error: { reason: "not_sender", message: "not yours" } });
  expect(project(confirmed, [failed]).messages[0]).toMatchObject({
    text: "text 1",
    pending: [{ kind: "edit", state: "failed", error: "not yours", text: "better" }],
  });
});

test("a confirmed change is shown until its event is there, without a mark", () => {
  const done = edit(1, "better", { state: "confirmed", seq: 4 });
  const [shown] = project(confirmed, [done]).messages;
  expect(shown).toMatchObject({ text: "better" });
  expect(shown).not.toHaveProperty("pending");
  const arrived = { ...messages[0]!, text: "and again", changedSeq: 5 };
  expect(project({ ...confirmed, messages: [arrived, ...messages.slice(1)] }, [done]).messages[0]).toBe(arrived);
});

test("messages on their way follow at the end, each once", () => {
  const send = queued({ kind: "send", payload: { text: "hello", replyToSeq: 2 } });
  expect(project(confirmed, [send]).messages.at(-1)).toMatchObject({ key: `alice/${send.id}`, state: "sending", replyToSeq: 2, seq: undefined });
  expect(project({ ...confirmed, isAtEnd: false }, [send]).messages).toHaveLength(3);
  const event = message("r", 4n, "hello", "alice", send.id);
  const arrived = [...messages, messageOf(event, event.body.value as never)];
  expect(project({ ...confirmed, messages: arrived }, [send]).messages).toBe(arrived);
  const toPeer = queued({ kind: "send", payload: { text: "to a person" } }, { toUser: "bob" });
  const { roomId: _, ...person } = toPeer;
  expect(project({ ...confirmed, peerId: "bob" }, [person as Command]).messages.at(-1)).toMatchObject({ text: "to a person", roomId: "r" });
});

test("read marks lower the unread count, to the end or among the loaded messages", () => {
  const mark = (seq: number) => queued({ kind: "markRead", payload: { seq } });
  expect(project(confirmed, [mark(3)]).values).toMatchObject({ readSeq: 3, unreadCount: 0 });
  expect(project(confirmed, [mark(2)]).values).toMatchObject({ readSeq: 2, unreadCount: 1 });
  expect(project(confirmed, [mark(0)]).values).toBe(values);
});

test("hidden and membership follow the last command that is not refused", () => {
  const [hide, show] = [true, false].map((hidden) => queued({ kind: "hide", payload: { hidden } }));
  expect(project(confirmed, [hide!]).values.isHidden).toBe(true);
  expect(project(confirmed, [hide!, show!]).values.isHidden).toBe(false);
  expect(project(confirmed, [queued({ kind: "leave", payload: {} })]).values.isMember).toBe(false);
  expect(project(confirmed, [queued({ kind: "leave", payload: {} }, { state: "failed" })]).values.isMember).toBe(true);
});

test("of read marks the highest stays, of hidden flags the latest", () => {
  const waiting = queued({ kind: "markRead", payload: { seq: 5 } });
  expect(coalesce([waiting], { kind: "markRead", roomId: "r", payload: { seq: 4 } })).toEqual({ drop: [], keep: false, same: waiting.id });
  expect(coalesce([waiting], { kind: "markRead", roomId: "r", payload: { seq: 6 } })).toEqual({ drop: [waiting.id], keep: true });
  expect(coalesce([waiting], { kind: "markRead", roomId: "other", payload: { seq: 4 } })).toEqual({ drop: [], keep: true });
  const sending = { ...waiting, state: "sending" } as Command;
  expect(coalesce([sending], { kind: "markRead", roomId: "r", payload: { seq: 6 } })).toEqual({ drop: [], keep: true });
  const hide = queued({ kind: "hide", payload: { hidden: true } });
  expect(coalesce([hide], { kind: "hide", roomId: "r", payload: { hidden: false } })).toEqual({ drop: [hide.id], keep: true });
});

test("a reaction and its removal cancel out, unless one is on the wire", () => {
  const waiting = { ...react("👍"), isNew: true } as Command;
  const undo: NewCommand = { kind: "unreact", roomId: "r", payload: { seq: 2, emoji: "👍" } };
  expect(coalesce([waiting], undo)).toEqual({ drop: [waiting.id], keep: false });
  expect(coalesce([{ ...react("👍"), state: "sending" } as Command], undo)).toEqual({ drop: [], keep: true });
  expect(coalesce([waiting], { ...undo, kind: "react" })).toEqual({ drop: [], keep: false, same: waiting.id });
  expect(coalesce([waiting], { ...undo, payload: { seq: 2, emoji: "🎉" } })).toEqual({ drop: [], keep: true });
});
