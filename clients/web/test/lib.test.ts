import type { ChatMessage } from "@parlance/client";
import { describe, expect, test } from "vitest";

import { completed, matching, unfinished } from "../src/lib/completion";
import { textOf, unknownKind } from "../src/lib/kinds";
import type { Note } from "../src/lib/notes";
import { mayLoad } from "../src/lib/pictures.svelte";
import { rowsOf } from "../src/lib/rows";
import { isFor, isJumbo, mentionsOf, piecesOf } from "../src/lib/text";

const people = new Set(["bob", "anna.b", "x_y"]);
const isPerson = (userId: string) => people.has(userId);

describe("a text in pieces", () => {
  test.each([
    ["see https://example.org/a?b=c&d#e.", ["see ", "https://example.org/a?b=c&d#e", "."]],
    ["example.org (http://example.com)", ["example.org", " (", "http://example.com", ")"]],
    ["@bob, @anna.b. @nobody a@bob.com @x_y!", ["@bob", ", ", "@anna.b", ". @nobody ", "a@bob.com", " ", "@x_y", "!"]],
    ["https://example.org/@bob", ["https://example.org/@bob"]],
    ["two\nlines", ["two", "\n", "lines"]],
  ])("%j", (text, pieces) => {
    expect(piecesOf(text, isPerson).map(({ text }) => text)).toEqual(pieces);
    expect(piecesOf(text, isPerson).map(({ text }) => text).join("")).toBe(text);
  });

  test.each(["javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd", " java\tscript:alert(1)"])(
    "%j is no link",
    (text) => expect(piecesOf(text, isPerson).some((piece) => "href" in piece && !/^https?:/.test(piece.href))).toBe(false),
  );

  test("who is mentioned", () => {
    expect(mentionsOf("ask @bob.", "bob")).toBe(true);
    expect(mentionsOf("ask @bobby", "bob")).toBe(false);
    expect(mentionsOf("mail bob@bob", "bob")).toBe(false);
  });

  test.each([
    ["hello", false, false, false],
    ["ask @bob", false, false, true],
    ["hello @all", false, false, false],
    ["hello", true, false, true],
    ["", true, true, false],
  ])("%j, to all: %s, deleted: %s", (text, mentionsAll, deleted, expected) => expect(isFor({ text, mentionsAll, deleted }, "bob")).toBe(expected));

  test("few emoji alone are large", () => {
    expect(["🎉", "👍🏽 ❤️", "👩‍👩‍👧", "1", "ok 🎉", ""].map(isJumbo)).toEqual([true, true, true, false, false, false]);
  });
});

describe("a word that can be completed", () => {
  test("is the one before the caret", () => {
    expect(unfinished("hello @bo", 9)).toEqual({ kind: "mention", typed: "bo", from: 6, to: 9 });
    expect(unfinished("hello @bo there", 9)).toEqual({ kind: "mention", typed: "bo", from: 6, to: 9 });
    expect(unfinished("@", 1)).toEqual({ kind: "mention", typed: "", from: 0, to: 1 });
    expect(unfinished("a :tad", 6)).toEqual({ kind: "emoji", typed: "tad", from: 2, to: 6 });
    for (const text of ["a@b", "12:30", "https://x", "at: x", "hello "]) expect(unfinished(text, text.length)).toBeUndefined();
  });

  test("is replaced, and the caret is after it", () => {
    const word = unfinished("hi @bo there", 6)!;
    expect(completed("hi @bo there", word, "@bob")).toEqual({ text: "hi @bob there", caret: 8 });
    expect(completed("hi @bo", unfinished("hi @bo", 6)!, "@bob")).toEqual({ text: "hi @bob ", caret: 8 });
  });

  test("finds what begins so before what contains it", () => {
    expect(matching(["cabbage", "banana", "abacus"], "ab", (one) => [one], 2)).toEqual(["abacus", "cabbage"]);
  });
});

test.each([
  ["https://a.example/1.png", ["https://a.example:443"], true],
  ["https://A.example:443/1.png?size=2", ["https://a.example:443"], true],
  ["https://a.example.evil/1.png", ["https://a.example:443"], false],
  ["https://a.example:8443/1.png", ["https://a.example:443"], false],
  ["http://a.example/1.png", ["https://a.example:443", "https:"], false],
  ["http://127.0.0.1:8000/1.png", ["http://127.0.0.1:8000"], true],
  ["https://anywhere.example/1.png", ["https:"], true],
  ["https://a.example/1.png", [], false],
  ["https://a.example/1.png", ["a future form"], false],
  ["javascript:alert(1)", ["https:"], false],
  ["data:image/png;base64,AA", ["data:", "https:"], false],
  ["/1.png", ["https:"], false],
  ["", ["https:"], false],
])("the picture %j is loaded where %j are allowed: %j", (url, sources, expected) => expect(mayLoad(url, sources)).toBe(expected));

test("a kind that is not known here is named, and stands for a text that is missing", () => {
  const of = (kind: string, text: string, deleted = false) => ({ kind, text, deleted }) as ChatMessage;
  const kinds = [of("text", "a"), of("system", "b"), of("custom:order", "c"), of("custom:order", "", true), of("new-kind", "d")];
  expect(kinds.map(unknownKind)).toEqual([undefined, undefined, "order", undefined, "new-kind"]);
  expect([textOf(of("custom:order", "Order 17")), textOf(of("custom:order", "")), textOf(of("text", "a"))]).toEqual(["Order 17", "Message of the kind “order”", "a"]);
});

describe("rows", () => {
  const at = (day: number, minute: number) => new Date(2026, 4, day, 12, minute);
  const message = (seq: number | undefined, senderId: string, date: Date, replyToSeq?: number) => ({
    key: `${senderId}/${seq}`,
    roomId: "r",
    seq,
    senderId,
    kind: "text" as const,
    text: "x",
    data: undefined,
    at: date,
    editedAt: undefined,
    deleted: false,
    replyToSeq,
    mentionsAll: false,
    reactions: [],
    state: "sent" as const,
    error: undefined,
    changedSeq: seq ?? 0,
  });
  const messages = [
    message(2, "bob", at(1, 0)),
    message(3, "bob", at(1, 1)),
    message(4, "bob", at(1, 30)),
    message(5, "ann", at(2, 0)),
    message(7, "bob", at(2, 1)),
    message(8, "bob", at(2, 2)),
    message(9, "bob", at(2, 3), 5),
    message(undefined, "ann", at(2, 4)),
  ];
  const where = (mark: "startsDay" | "startsUnread" | "continues", readSeq?: number) =>
    rowsOf(messages, { readSeq, userId: "ann", isBeginning: false, isEnd: true }).flatMap((row, index) => (row[mark] ? [index] : []));

  test("a day begins, a sender goes on", () => {
    expect(where("startsDay")).toEqual([0, 3]);
    expect(where("continues")).toEqual([1, 5]);
  });

  test("what is new begins once, at what others wrote", () => {
    expect(where("startsUnread")).toEqual([]);
    expect(where("startsUnread", 3)).toEqual([2]);
    expect(where("startsUnread", 4)).toEqual([4]);
    expect(where("startsUnread", 99)).toEqual([]);
    expect(where("continues", 7)).toEqual([1]);
    // For a page in the middle it is unknown whether it starts with the first
    // unread message.
    expect(where("startsUnread", 1)).toEqual([]);
    expect(rowsOf(messages, { readSeq: 1, userId: "ann", isBeginning: true, isEnd: true })[0]!.startsUnread).toBe(true);
  });

  test("what the app says is not below the name of whoever wrote before", () => {
    const notice = { ...message(2, "bob", at(1, 1)), kind: "system" as const };
    const mixed = [message(1, "bob", at(1, 0)), notice, { ...notice, key: "bob/3", seq: 3 }, message(4, "bob", at(1, 2))];
    const rows = rowsOf(mixed, { readSeq: undefined, userId: "ann", isBeginning: true, isEnd: true });
    expect(rows.map(({ continues }) => continues)).toEqual([false, false, true, false]);
  });

  const reader = { readSeq: undefined, userId: "ann" };
  const note = (seq: number): Note => ({ seq, at: at(1, 0), actorId: "bob", what: { kind: "created" } });

  test("what was noted beyond the ends of what is loaded is left out", () => {
    const sent = messages.slice(0, -1);
    const noted = (isBeginning: boolean, isEnd: boolean) =>
      rowsOf(sent, { ...reader, isBeginning, isEnd }, [1, 6, 10].map(note)).map(({ before, after }) => [...before, ...after].map(({ seq }) => seq));
    expect(noted(true, true)).toEqual([[1], [], [], [], [6], [], [10]]);
    expect(noted(false, false)).toEqual([[], [], [], [], [6], [], []]);
  });

  test("rows that are as they were are the same objects", () => {
    const ends = { ...reader, isBeginning: false, isEnd: true };
    const [six, nine] = [note(6), note(9)];
    const few = rowsOf(messages.slice(1, 6), ends, [six]);
    const more = rowsOf(messages, ends, [six], few);
    // The first one has a predecessor now.
    expect(more.map((row) => few.includes(row))).toEqual([false, false, true, true, true, true, false, false]);
    expect(more).toEqual(rowsOf(messages, ends, [six]));
    const changed = messages.with(3, message(5, "bob", at(2, 0)));
    const after = rowsOf(changed, ends, [six, nine], more);
    expect(after).toEqual(rowsOf(changed, ends, [six, nine]));
    expect(after.map((row) => more.includes(row))).toEqual([true, true, true, false, false, true, true, false]);
  });
});
