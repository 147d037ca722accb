import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";

import { v1 } from "../src/index.js";
import type { Input } from "../src/state/inputs.js";
import { isHidden, isStale, type RoomState } from "../src/state/room-state.js";
import { apply, emptyState, type State } from "../src/state/state.js";
import { unreadOf } from "../src/state/unread.js";
import { type Random, seeds } from "./random.js";
import { viewOf } from "./reader.js";
import { RoomLog, SELF } from "./room-log.js";

const RUNS = 200;

function run(inputs: readonly Input[], from: State = emptyState(SELF)): State {
  return inputs.reduce(apply, from);
}

function room(state: State): RoomState {
  return state.rooms.get("r")!;
}

/** In the form of {@link RoomLog.truth}. */
function view(state: State) {
  const { last } = room(state);
  return { ...viewOf(room(state)), last: last && { seq: last.seq, text: last.text, deleted: last.deleted, reactions: last.reactions } };
}

const event = (of: v1.Event): Input => ({ type: "event", roomId: of.roomId, event: of });
const gap = (fields: { fromSeq: number; toSeq: number; reason: v1.GapReason; epoch?: number }): Input => ({
  type: "gap",
  roomId: "r",
  gap: create(v1.GapSchema, {
    roomId: "r",
    fromSeq: BigInt(fields.fromSeq),
    toSeq: BigInt(fields.toSeq),
    reason: fields.reason,
    epoch: BigInt(fields.epoch ?? 1),
  }),
});

const welcome = (epoch: number): Input => ({ type: "welcome", userId: SELF, heads: [{ roomId: "r", seq: 0, epoch }] });

/** A room with random events, as reported by each source. */
function session(random: Random, { gaps, counts }: { gaps: boolean; counts: boolean }) {
  const log = new RoomLog(random);
  const sources = { stream: [] as Input[], inbox: [] as Input[], read: [] as Input[], receipts: [] as Input[], members: [] as Input[] };
  let order = 1;
  let pushed = 0;
  for (let steps = random.int(5, 60); steps > 0; steps--) {
    log.step();
    if (random.chance(0.1)) sources.inbox.push(log.entry(order++));
    if (random.chance(0.1)) sources.members.push(log.memberList());
    if (random.chance(0.15)) {
      log.markRead(random.int(1, log.head));
      const { seq, messageCount, deletedCount } = log.read;
      const mark = counts ? { seq, messageCount, deletedCount } : { seq };
      sources.read.push({ type: "read", roomId: "r", mark });
    }
    if (random.chance(0.15)) sources.receipts.push(log.receipt(random.pick(["bob", "carol"]), random.int(1, log.head), random.int(0, log.head)));
    if (random.chance(0.05)) {
      log.hidden = random.chance(0.7);
      sources.inbox.push(log.entry(order++));
    }
    if (gaps && random.chance(0.1)) {
      sources.stream.push(gap({ fromSeq: pushed + 1, toSeq: log.head, reason: v1.GapReason.TOO_LONG }));
      pushed = log.head;
    }
    for (; pushed < log.head; pushed++) sources.stream.push(event(log.events[pushed]!));
    // A connection resumed from an older cursor.
    if (random.chance(0.05)) for (const again of log.events.slice(-random.int(1, 5))) sources.stream.push(event(again));
  }
  // After a loss both are read again.
  sources.inbox.push(log.entry(order++));
  sources.members.push(log.memberList());
  return { log, sources };
}

describe("whatever comes first", () => {
  test.each([
    ["all events received", { gaps: false, counts: true }],
    ["with gaps", { gaps: true, counts: true }],
    ["receipts without counts", { gaps: true, counts: false }],
  ])("sources in any order converge to the state of the log: %s", (_, options) => {
    seeds(RUNS, (random) => {
      const { log, sources } = session(random, options);
      const state = run(random.interleave(Object.values(sources)));
      expect(view(state)).toEqual(log.truth);
      expect(isStale(room(state))).toBe(false);
    });
  });

  test("an input that is repeated at any later time changes nothing", () => {
    seeds(RUNS, (random) => {
      const { log, sources } = session(random, { gaps: true, counts: true });
      const inputs = random.interleave(Object.values(sources));
      const again = inputs.filter(({ type }) => type !== "gap" && random.chance(0.3));
      expect(view(run([...inputs, ...again]))).toEqual(log.truth);
    });
  });

  test("a room that was restored goes on in its new epoch, whatever is still said of the old one", () => {
    seeds(RUNS, (random) => {
      const old = session(random, { gaps: true, counts: true });
      const log = new RoomLog(random, 2);
      for (let steps = random.int(0, 20); steps > 0; steps--) log.step();
      const to = log.head;
      const inbox = [...old.sources.inbox];
      for (let steps = random.int(1, 20); steps > 0; steps--) {
        log.step();
        if (random.chance(0.2)) inbox.push(log.entry(200 - steps));
      }
      const stream = [
        welcome(1),
        ...random.interleave([old.sources.stream, old.sources.read, old.sources.receipts]),
        welcome(2),
        gap({ fromSeq: 1, toSeq: to, reason: v1.GapReason.RESTORED, epoch: 2 }),
        ...log.events.slice(to).map(event),
      ];
      const members = [...old.sources.members];
      inbox.push(log.entry(1_000));
      members.push(log.memberList());
      expect(view(run(random.interleave([stream, inbox, members])))).toEqual(log.truth);
    });
  });
});

test("a room that was deleted is over, whatever is still reported of it, until it is restored", () => {
  seeds(RUNS, (random) => {
    const { log, sources } = session(random, { gaps: true, counts: true });
    const { seq } = log.add({ case: "roomDeleted", value: {} }, SELF);
    sources.stream.push(event(log.events.at(-1)!));
    const state = run(random.interleave(Object.values(sources)));
    expect(view(state)).toMatchObject({ isMember: false, unreadCount: 0, headSeq: Number(seq), last: undefined, receipts: {}, members: {} });
    expect(isStale(room(state))).toBe(false);
    const again = new RoomLog(random, 2);
    again.say("bob");
    const restored = [welcome(2), gap({ fromSeq: 1, toSeq: again.head, reason: v1.GapReason.RESTORED, epoch: 2 }), again.entry(1_000), again.memberList()];
    expect(view(run(restored, state))).toEqual(again.truth);
  });
});

describe("one room", () => {
  const entry = (fields: { head: number; read: number; unread: number; order?: number; members?: number; active?: boolean; title?: string }): Input => ({
    type: "inbox",
    roomId: "r",
    order: fields.order ?? 1,
    entry: create(v1.InboxEntrySchema, {
      room: {
        roomId: "r",
        headSeq: BigInt(fields.head),
        messageCount: BigInt(fields.head),
        memberCount: BigInt(fields.members ?? 2),
        epoch: 1n,
        settings: { title: fields.title ?? "title" },
      },
      membership: { userId: SELF, active: fields.active ?? true },
      read: { seq: BigInt(fields.read), messageCount: BigInt(fields.read) },
      unreadCount: BigInt(fields.unread),
    }),
  });
  const happens = (seq: number, body: v1.Event["body"], actorId = "bob"): Input =>
    event(create(v1.EventSchema, { roomId: "r", seq: BigInt(seq), actorId, messageCount: BigInt(seq), body }));
  const says = (seq: number) => happens(seq, { case: "message", value: create(v1.MessageSchema, { text: `${seq}` }) });
  const unread = (state: State) => unreadOf(room(state).marks, room(state).head);

  test.each([
    ["with its count", { seq: 15, messageCount: 15 }],
    ["without", { seq: 15 }],
  ])("a receipt that overtakes the events that it covers leaves nothing unread, %s", (_, mark) => {
    const early = run([entry({ head: 10, read: 0, unread: 10 }), { type: "read", roomId: "r", mark }]);
    expect(unread(early)).toEqual({ count: 0, isExact: true });
    const late = run([11, 12, 13, 14, 15].map(says), early);
    expect(unread(late)).toEqual({ count: 0, isExact: true });
    expect(unread(run([says(16)], late))).toEqual({ count: 1, isExact: true });
  });

  test("a receipt without a count below the head is an estimate until the inbox is read again", () => {
    const state = run([entry({ head: 10, read: 0, unread: 10 }), { type: "read", roomId: "r", mark: { seq: 4 } }]);
    expect(isStale(room(state))).toBe(true);
    expect(unread(run([entry({ head: 10, read: 4, unread: 6 })], state))).toEqual({ count: 6, isExact: true });
  });

  test("an inbox answer that is older than the events changes nothing that they changed", () => {
    const state = run([
      happens(11, { case: "roomChanged", value: create(v1.RoomChangedSchema, { settings: { title: "new" } }) }),
      happens(12, { case: "memberAdded", value: create(v1.MemberAddedSchema, { userId: "carol", role: v1.Role.MEMBER }) }),
      happens(13, { case: "memberRemoved", value: create(v1.MemberRemovedSchema, { userId: SELF }) }),
      entry({ head: 10, read: 0, unread: 0, title: "old" }),
    ]);
    expect(view(state)).toMatchObject({ title: "new", isMember: false, memberCount: 2 });
  });

  test("an inbox answer that contains a new member is not counted on by the event of them", () => {
    const added = happens(12, { case: "memberAdded", value: create(v1.MemberAddedSchema, { userId: "carol", role: v1.Role.MEMBER }) });
    expect(view(run([entry({ head: 12, read: 0, unread: 0, members: 3 }), added])).memberCount).toBe(3);
    expect(view(run([added, entry({ head: 11, read: 0, unread: 0, members: 2 })])).memberCount).toBe(3);
  });

  test("whoever is not a member any more is added again by the next event, not by an older inbox answer", () => {
    const left = run([entry({ head: 10, read: 0, unread: 0 }), gap({ fromSeq: 11, toSeq: 0, reason: v1.GapReason.NOT_MEMBER })]);
    expect(view(run([entry({ head: 10, read: 0, unread: 0 })], left)).isMember).toBe(false);
    const added = happens(11, { case: "memberAdded", value: create(v1.MemberAddedSchema, { userId: SELF, role: v1.Role.MEMBER }) });
    expect(view(run([added], left)).isMember).toBe(true);
  });

  test("what waits for the inbox or a list is bounded, and read again beyond that", () => {
    const joins = Array.from({ length: 1_000 }, (_, at) =>
      happens(100 + at, { case: "memberAdded", value: create(v1.MemberAddedSchema, { userId: `user-${at}`, role: v1.Role.MEMBER }) }),
    );
    const joined = run(joins);
    expect(room(joined).members.byUser.size).toBe(256);
    expect(room(joined).memberCount.steps).toHaveLength(256);
    // A list from before the dropped ones is not complete.
    const listed = run([{ type: "members", roomId: "r", members: [], seq: 99, epoch: 0 }], joined);
    expect(room(listed).members.missingTo).toBeGreaterThan(room(listed).members.listedSeq);
    expect(isStale(room(joined))).toBe(true);
    expect(view(run([entry({ head: 1_099, read: 0, unread: 0, members: 1_002 })], joined)).memberCount).toBe(1_002);
    // With a list nothing is dropped.
    expect(room(run(joins, run([{ type: "members", roomId: "r", members: [], seq: 99, epoch: 0 }]))).members.byUser.size).toBe(1_000);
  });

  test("deletions of unread messages are bounded, and counted by the inbox beyond that", () => {
    const deletions = Array.from({ length: 1_000 }, (_, at) =>
      happens(2_001 + at, { case: "messageDeleted", value: create(v1.MessageDeletedSchema, { targetSeq: BigInt(1 + at) }) }),
    ).map((input) => ({ ...input, event: { ...(input as Input & { type: "event" }).event, messageCount: 2_000n } }) as Input);
    const state = run(deletions, run([entry({ head: 2_000, read: 0, unread: 2_000 })]));
    expect(room(state).marks.deletions).toHaveLength(256);
    expect(isStale(room(state))).toBe(true);
    const counted = create(v1.InboxEntrySchema, { room: { roomId: "r", headSeq: 3_000n, messageCount: 2_000n, memberCount: 2n, epoch: 1n }, membership: { userId: SELF, active: true }, unreadCount: 1_000n });
    expect(unread(run([{ type: "inbox", roomId: "r", order: 9, entry: counted }], state))).toEqual({ count: 1_000, isExact: true });
  });

  test("only what was received counts as received, whatever the inbox says of the head", () => {
    const state = run([says(50), entry({ head: 100, read: 0, unread: 100 }), gap({ fromSeq: 51, toSeq: 90, reason: v1.GapReason.TOO_LONG })]);
    expect(room(state).receivedSeq).toBe(50);
    expect(room(state).head.seq).toBe(100);
  });

  test("a signal that came after an answer was asked for is newer than the answer", () => {
    const online = (isOnline: boolean, order: number): Input => ({ type: "presence", userId: "bob", online: isOnline, order });
    expect(run([online(true, 2), online(false, 1)]).presence.get("bob")?.online).toBe(true);
    const hide: Input = { type: "hidden", roomId: "r", hidden: true, order: 2 };
    const hidden = run([entry({ head: 3, read: 0, unread: 0 }), hide, entry({ head: 3, read: 0, unread: 0, order: 1 })]);
    expect(isHidden(room(hidden))).toBe(true);
    expect(isHidden(room(run([says(4)], hidden)))).toBe(false);
  });
});

test("one's own message marks the room as read, an imported one does not", () => {
  const message = (seq: bigint, sentAt?: { seconds: bigint }) =>
    event(create(v1.EventSchema, { roomId: "r", seq, messageCount: seq, actorId: SELF, body: { case: "message", value: { text: "hello", ...(sentAt && { sentAt }) } } }));
  const inputs = [welcome(1), event(create(v1.EventSchema, { roomId: "r", seq: 1n, messageCount: 1n, actorId: "bob", body: { case: "message", value: { text: "hi" } } }))];
  const imported = run([...inputs, message(2n, { seconds: 1n }), message(3n, { seconds: 2n })]);
  expect(room(imported).marks.readSeq).toBe(0);
  expect(room(run([message(4n)], imported)).marks.readSeq).toBe(4);
});
