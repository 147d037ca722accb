import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { decodeMessages, encodeMessages } from "../src/cache/records.js";
import { v1 } from "../src/index.js";
import { coalesce } from "../src/queue/coalesce.js";
import type { Command, NewCommand } from "../src/queue/command.js";
import { echo, project } from "../src/queue/project.js";
import { messageOf, withData } from "../src/room/message.js";
import { changed, changeOf, withForm } from "../src/state/changes.js";

type Body = v1.Event["body"];
const at = (seq: number, body: Body) => create(v1.EventSchema, { roomId: "r", seq: BigInt(seq), actorId: "alice", requestId: `q${seq}`, body });
const said = at(1, { case: "message", value: create(v1.MessageSchema, { text: "order", kind: "custom:order", data: { id: 17 } }) });
const message = () => messageOf(said, said.body.value as v1.Message);
const edit = (seq: number, text: string, data?: { [key: string]: number }) =>
  at(seq, { case: "messageEdited", value: create(v1.MessageEditedSchema, { targetSeq: 1n, text, ...(data && { data }) }) });
const deletion = at(9, { case: "messageDeleted", value: create(v1.MessageDeletedSchema, { targetSeq: 1n }) });

function orders<T>(all: readonly T[]): T[][] {
  return all.length === 0 ? [[]] : all.flatMap((first) => orders(all.filter((other) => other !== first)).map((rest) => [first, ...rest]));
}

const after = (events: readonly v1.Event[]) => events.reduce((message, event) => changed(message, changeOf(event)!), message());

test.each([
  ["data of an edit stays with the texts after it", [edit(2, "two", { id: 18 }), edit(3, "three")], { text: "three", data: { id: 18 } }],
  ["the latest data counts", [edit(2, "two", { id: 18 }), edit(3, "three", { id: 19 }), edit(4, "four")], { text: "four", data: { id: 19 } }],
  ["edits without data keep that of the message", [edit(2, "two"), edit(3, "three")], { text: "three", data: { id: 17 } }],
  ["all data can be removed", [edit(2, "two", {}), edit(3, "three")], { text: "three", data: {} }],
  ["a deleted message has none", [edit(2, "two", { id: 18 }), deletion, edit(3, "three")], { text: "", data: undefined, deleted: true }],
])("%s, in any order", (_, events, expected) => {
  for (const order of orders(events)) expect(after(order)).toMatchObject({ kind: "custom:order", ...expected });
});

test("data of an edit that a received form includes does not undo a later one in it", () => {
  const form = { ...message(), text: "three", data: { id: 19 }, changedSeq: 3 };
  const events = [edit(2, "two", { id: 18 }), edit(4, "four")];
  for (const order of orders(events)) {
    const after = order.reduce((message, event) => changed(message, changeOf(event)!), message());
    expect(withForm(after, form)).toMatchObject({ text: "four", data: { id: 19 } });
  }
});

test("keys are set and removed, and others keep their values", () => {
  expect(withData({ a: 1, b: 2 }, { data: { b: 3, c: 4 }, unsetData: ["a", "z"] })).toEqual({ b: 3, c: 4 });
  expect(withData(undefined, { data: { a: 1 } })).toEqual({ a: 1 });
  // As the server does it.
  expect(withData({ a: 1, b: 2 }, { data: { a: 9 }, unsetData: ["a", "b"] })).toEqual({ a: 9 });
  const data = { a: 1 };
  expect(withData(data, {})).toBe(data);
});

const queued = (command: NewCommand) => ({ roomId: "r", id: "c1", writtenAt: 1, state: "waiting", ...command }) as Command;

test("a message on its way shows its kind and data, an edit on its way what it sets and removes", () => {
  const payload = { text: "order", kind: "custom:order", data: { id: 17 } } as const;
  expect(echo(queued({ kind: "send", payload }) as never, "r", "alice")).toMatchObject(payload);
  const edits = queued({ kind: "edit", payload: { seq: 1, text: "sent", data: { sent: true }, unsetData: ["id"] } });
  const values = { headSeq: 1 } as never;
  const { messages } = project({ roomId: "r", userId: "alice", messages: [message()], isAtEnd: true, values }, [edits]);
  expect(messages[0]).toMatchObject({ text: "sent", data: { sent: true } });
});

test("an edit does not replace one that is still waiting and changes data", () => {
  const waiting = [{ seq: 1, text: "a" }, { seq: 1, text: "b", data: { a: 1 } }, { seq: 1, text: "c", unsetData: ["a"] }].map((payload, at) => ({
    ...queued({ kind: "edit", payload }),
    id: `c${at}`,
  }));
  expect(coalesce(waiting, { kind: "edit", roomId: "r", payload: { seq: 1, text: "d" } }).drop).toEqual(["c0"]);
});

test("kind and data are part of what is stored", () => {
  const { messages } = decodeMessages(encodeMessages("r", "1", { from: 1, to: 1, hasOlder: false, messages: [message()] }));
  expect(messageOf(messages[0]!, messages[0]!.body.value as v1.Message)).toEqual(message());
});

test("an imported message has the date of the system that it comes from", () => {
  const sentAt = timestampFromDate(new Date("2019-03-01T08:30:00Z"));
  const value = create(v1.MessageSchema, { text: "shall we start?", sentAt });
  const imported = messageOf(create(v1.EventSchema, { at: timestampFromDate(new Date()) }), value);
  expect(imported.at).toEqual(new Date("2019-03-01T08:30:00Z"));
});
