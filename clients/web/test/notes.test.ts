import { type Client, v1 } from "@parlance/client";
import { expect, test } from "vitest";

import { History } from "../src/lib/history.svelte";
import { linesOf, noteOf, withChanges } from "../src/lib/notes";

type Listener = (value: object) => void;

/** A client whose answers and events are controlled by the test. */
function fake() {
  const listeners = new Map<string, Listener>();
  let answer: (page: object) => void = () => {};
  const client = {
    on: (name: string, listener: Listener) => (listeners.set(name, listener), () => listeners.delete(name)),
    call: () => new Promise<object>((resolve) => (answer = resolve)),
  } as unknown as Client;
  const joined = (seq: number, userId: string) => ({ roomId: "r", seq: BigInt(seq), actorId: userId, body: { case: "memberAdded", value: { userId } } });
  return {
    history: new History(client, "r"),
    restored: () => listeners.get("gap")?.({ roomId: "r", reason: v1.GapReason.RESTORED }),
    answer: (...events: object[]) => answer({ events, nextFromSeq: 0n }),
    joined,
    changed: (seq: number, settings: object) => ({ roomId: "r", seq: BigInt(seq), actorId: "ann", body: { case: "roomChanged", value: { settings: { title: "Plans", archived: false, ...settings } } } }),
    happens: (event: object) => listeners.get("event")?.(event),
  };
}

test("what happened in a room before it was restored from a backup is not noted any more", async () => {
  const { history, restored, answer, joined } = fake();
  const covered = history.cover(1, 2, () => 0);
  answer(joined(1, "bob"), joined(2, "carol"));
  await covered;
  expect(history.notes.map(({ actorId }) => actorId)).toEqual(["bob", "carol"]);
  const late = history.cover(1, 3, () => 0);
  restored();
  expect(history.notes).toEqual([]);
  answer(joined(3, "dave"));
  await late;
  expect(history.notes).toEqual([]);
  const again = history.cover(1, 1, () => 0);
  answer(joined(1, "erin"));
  await again;
  expect(history.notes.map(({ actorId }) => actorId)).toEqual(["erin"]);
});

test("that a room was unarchived is told apart from other changes of its settings, in whatever parts it is read", async () => {
  const { history, answer, changed, happens } = fake();
  const later = history.cover(4, 6, () => 0);
  answer(changed(4, { archived: true }), changed(5, { title: "More plans" }), changed(6, {}));
  await later;
  const earlier = history.cover(1, 6, () => 0);
  answer(changed(1, { topic: "one" }), changed(2, { archived: true }), changed(3, {}));
  await earlier;
  const before = history.notes;
  happens(changed(7, { archived: true }));
  happens(changed(8, {}));
  const [archived, unarchived, other] = ["ann archived the conversation", "ann unarchived the conversation", "ann changed the settings of “Plans”"];
  expect(history.notes.flatMap((note) => linesOf([note], (id) => id))).toEqual([other, archived, unarchived, archived, unarchived, other, archived, unarchived]);
  // Rows that have not changed are not drawn again.
  expect(history.notes.slice(0, 6).every((note, at) => note === before[at])).toBe(true);
});

test("a change of settings is told by what it changed, as far as it is known what was before", () => {
  const settings = (changes: object) => ({ title: "Plans", ...changes });
  const events = [
    { body: { case: "roomCreated", value: { settings: settings({}) } } },
    { body: { case: "roomChanged", value: { settings: settings({ slowModeSeconds: 60 }) } } },
    { body: { case: "roomChanged", value: { settings: settings({ slowModeSeconds: 60, permissions: { post: v1.Role.ADMIN } }) } } },
    { body: { case: "roomChanged", value: { settings: settings({ slowModeSeconds: 60, permissions: { post: v1.Role.ADMIN }, frozen: true }) } } },
    { body: { case: "roomChanged", value: { settings: settings({ title: "Ice", slowModeSeconds: 60, permissions: { post: v1.Role.ADMIN }, frozen: true }) } } },
    { body: { case: "roomChanged", value: { settings: settings({ title: "Ice", slowModeSeconds: 60, permissions: { post: v1.Role.ADMIN } }) } } },
    { body: { case: "roomChanged", value: { settings: settings({ title: "Ice", permissions: { post: v1.Role.ADMIN } }) } } },
    { body: { case: "roomChanged", value: { settings: settings({ title: "Ice", permissions: { post: v1.Role.ADMIN }, historyVisibility: v1.HistoryVisibility.ALL }) } } },
    { body: { case: "roomChanged", value: { settings: settings({ title: "Ice", permissions: { post: v1.Role.ADMIN }, historyVisibility: v1.HistoryVisibility.SINCE_JOINED }) } } },
  ].map((event, at) => ({ seq: BigInt(at + 1), actorId: "ann", ...event }) as unknown as v1.Event);
  const lines = (from: number) => withChanges(events.slice(from).map((event) => noteOf(event)!)).flatMap((note) => linesOf([note], (id) => id));
  const [slow, roles, froze] = ["ann turned slow mode on: 1 minute between two messages", "ann changed what members may do", "ann froze the conversation"];
  const read = ["ann lets new members read everything from the beginning", "ann lets new members read only what is sent after they joined"];
  const [other, unfroze, off] = ["ann changed the settings of “Ice”", "ann unfroze the conversation", "ann turned slow mode off"];
  expect(lines(0)).toEqual(["ann created the conversation", slow, roles, froze, other, unfroze, off, ...read]);
  expect(lines(2)).toEqual(["ann changed the settings of “Plans”", froze, other, unfroze, off, ...read]);
  expect(lines(3)).toEqual([froze, other, unfroze, off, ...read]);
  expect(lines(5)).toEqual([other, off, ...read]);
});
