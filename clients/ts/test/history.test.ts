import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";

import { v1 } from "../src/index.js";
import type { Source } from "../src/room/source.js";
import { Timeline } from "../src/room/timeline.js";
import { SHARED } from "../src/room/shared.js";
import type { Input } from "../src/state/inputs.js";
import { apply, emptyState, type State } from "../src/state/state.js";
import { Random, seeds } from "./random.js";
import { fields, Reader } from "./reader.js";
import { RoomLog, SELF } from "./room-log.js";

const event = (of: v1.Event): Input => ({ type: "event", roomId: of.roomId, event: of });
const history = (events: v1.Event[], epoch = 1): Input => ({ type: "history", roomId: "r", events, epoch });

function lived(random: Random, steps: number, epoch = 1): RoomLog {
  const log = new RoomLog(random, epoch);
  for (; steps > 0; steps--) log.step();
  return log;
}

test("pages of any age, pushes and repeats in any order end in the messages of the log", () => {
  seeds(300, (random) => {
    const log = lived(random, random.int(5, 80));
    const inputs: Input[] = log.events.map(event);
    for (const of of log.events) if (random.chance(0.3)) inputs.push(event(of));
    for (let pages = random.int(0, 8); pages > 0; pages--) {
      const head = random.int(1, log.head);
      const from = random.int(1, head);
      inputs.push(history(Array.from({ length: head - from + 1 }, (_, at) => log.formAt(from + at, head) ?? log.events[from + at - 1]!)));
    }
    const reader = new Reader(SELF);
    random.shuffle(inputs).forEach((input) => reader.take(input));
    expect(reader.messages("r")).toEqual(log.shown);
    expect(reader.last("r")).toEqual(log.shown.at(-1));
  });
});

test("what a gap hides is in the later form, whenever that comes, and what was pushed beyond it is not lost", () => {
  seeds(300, (random) => {
    const log = lived(random, random.int(20, 80));
    const [from, to] = [random.int(3, 15), random.int(16, log.head)];
    const pushed = log.events.filter(({ seq }) => seq < from || seq > to).map(event);
    const head = random.int(to, log.head);
    const forms = log.events.flatMap(({ seq }) => log.formAt(Number(seq), head) ?? []);
    const older = log.events.flatMap(({ seq }) => log.formAt(Number(seq), random.int(1, log.head)) ?? []);
    // Missed events are read back as messages, or as events.
    const readBack = random.chance(0.5) ? forms : log.events.slice(from - 1, to).map((of) => log.formAt(Number(of.seq), head) ?? of);
    const reader = new Reader(SELF);
    for (const input of random.shuffle([...pushed, ...[...readBack, ...older].map((of) => history([of]))])) reader.take(input);
    expect(reader.messages("r")).toEqual(log.shown);
  });
});

test("nothing that was read of an epoch that is over changes what is known of the next one", () => {
  seeds(100, (random) => {
    const [old, log] = [lived(random, 30), lived(random, 30, 2)];
    const restored = create(v1.GapSchema, { roomId: "r", fromSeq: 1n, toSeq: 1n, reason: v1.GapReason.RESTORED, epoch: 2n });
    const stream: Input[] = [...old.events.map(event), { type: "gap", roomId: "r", gap: restored }, ...log.events.map(event)];
    const late = old.events.map((of) => history([of]));
    const state = [{ type: "welcome", userId: SELF, heads: [{ roomId: "r", seq: 0, epoch: 1 }] } as const, ...random.interleave([stream, late])].reduce(apply, emptyState(SELF));
    expect(state.rooms.get("r")!.last && fields(state.rooms.get("r")!.last!)).toEqual(log.shown.at(-1));
  });
});

/** A server with some answers that are older than what it has pushed. */
class LateServer implements Source {
  readonly waiting: (() => void)[] = [];
  state: State = emptyState(SELF);
  /** How far behind answers may be, except for every third. */
  lag = 0;
  #answers = 0;

  constructor(
    readonly log: RoomLog,
    readonly random: Random,
  ) {}

  listMessages: Source["listMessages"] = async ({ beforeSeq = 0, afterSeq, pageSize }) => {
    const head = this.#head();
    const all = this.#forms(head).filter(({ seq }) => seq > (afterSeq ?? 0) && (!beforeSeq || seq < beforeSeq));
    const isForward = afterSeq !== undefined;
    const messages = isForward ? all.slice(0, pageSize) : all.slice(-pageSize);
    const end = isForward ? messages.at(-1) : messages[0];
    await this.#answer();
    return { messages, hasMore: all.length > pageSize, nextSeq: end?.seq ?? 0n, headSeq: BigInt(head) };
  };

  listEvents: Source["listEvents"] = async ({ fromSeq, toSeq, pageSize }) => {
    const head = this.#head();
    const all = this.log.events.slice(fromSeq - 1, Math.min(toSeq, head));
    const events = all.slice(0, pageSize).map((of) => this.log.formAt(Number(of.seq), head) ?? of);
    await this.#answer();
    this.state = apply(this.state, history(events));
    return { events, nextFromSeq: all.length > pageSize ? events.at(-1)!.seq + 1n : 0n, headSeq: BigInt(head) };
  };

  changesOf = (seq: number) => this.state.rooms.get("r")?.changes.get(seq);

  readonly shared = SHARED;

  async answerAll(): Promise<void> {
    this.waiting.splice(0).forEach((answer) => answer());
    for (let turns = 0; turns < 8; turns++) await Promise.resolve();
  }

  #head(): number {
    return Math.max(1, this.log.head - (++this.#answers % 3 === 0 ? 0 : this.random.int(0, this.lag)));
  }

  #forms(head: number): v1.Event[] {
    return this.log.events.flatMap(({ seq }) => this.log.formAt(Number(seq), head) ?? []);
  }

  #answer(): Promise<void> {
    return new Promise((resolve) => void this.waiting.push(resolve));
  }
}

test.each([
  { lag: 0, most: 14 },
  { lag: 12, most: 14 },
  { lag: 0, most: 60 },
  { lag: 12, most: 60 },
])("a window over old and new answers, pushes, gaps and repeats shows the log, wherever its reader is: $lag behind, $most", async ({ lag, most }) => {
  for (let seed = 1; seed <= 150; seed++) {
    const random = new Random(seed);
    const log = lived(random, random.int(0, 150));
    const server = new LateServer(log, random);
    const timeline = new Timeline(server, () => {}, { window: 150 });
    let pushed = log.head;
    const push = (of: v1.Event) => {
      server.state = apply(server.state, event(of));
      timeline.event(of);
    };
    server.lag = lag;
    void timeline.loadLatest();
    for (let steps = 60; steps > 0; steps--) {
      const loaded = timeline.messages.map(({ seq }) => seq!);
      const load = random.int(0, most);
      if (load === 0) void timeline.loadLatest();
      else if (load === 1) void timeline.loadOlder();
      else if (load === 2) void timeline.loadNewer();
      else if (load === 3) void timeline.jumpTo(random.int(1, log.head));
      else if (load === 4) timeline.lookAt(loaded.length > 0 && random.chance(0.5) ? random.pick(loaded) : undefined);
      for (let more = random.int(0, 4); more > 0; more--) log.step();
      if (random.chance(0.15) && log.head > pushed) {
        const reason = random.pick([v1.GapReason.TOO_LONG, v1.GapReason.TOO_LONG, v1.GapReason.NOT_MEMBER]);
        const gap = create(v1.GapSchema, { roomId: "r", fromSeq: BigInt(pushed + 1), toSeq: BigInt(log.head), reason, epoch: 1n });
        server.state = apply(server.state, { type: "gap", roomId: "r", gap });
        timeline.gap(gap);
      } else log.events.slice(pushed).forEach(push);
      pushed = log.head;
      if (random.chance(0.1)) log.events.slice(-random.int(1, 20)).forEach(push);
      if (random.chance(0.4)) await server.answerAll();
    }
    // From now on answers are up to date.
    server.lag = 0;
    while (timeline.isLoading) await server.answerAll();
    const from = timeline.messages[0]?.seq ?? 1;
    while (timeline.isLoaded && timeline.hasNewer) {
      void timeline.loadNewer();
      while (timeline.isLoading) await server.answerAll();
    }
    if (!timeline.isLoaded) continue;
    const shown = timeline.messages.map(fields);
    const first = Math.max(from, shown[0]?.seq ?? 0);
    expect(shown, `seed ${seed}`).toEqual(log.shown.filter(({ seq }) => seq >= (timeline.hasOlder ? first : 1)));
  }
});

test("while a room is restored nothing of before is shown as new, whatever is on its way", async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Random(seed);
    const old = new LateServer(lived(random, 80), random);
    let server = old;
    const source: Source = {
      listMessages: (bounds) => server.listMessages(bounds),
      listEvents: (bounds) => server.listEvents(bounds),
      changesOf: (seq) => server.changesOf(seq),
      shared: SHARED,
    };
    const timeline = new Timeline(source, () => {}, { window: 150 });
    const loads = [timeline.loadLatest()];
    while (random.chance(0.7)) await old.answerAll();
    if (random.chance(0.5)) loads.push(timeline.loadOlder(), timeline.jumpTo(10));
    const log = lived(random, random.int(0, 40), 2);
    server = new LateServer(log, random);
    timeline.gap(create(v1.GapSchema, { roomId: "r", fromSeq: 1n, toSeq: BigInt(log.head), reason: v1.GapReason.RESTORED, epoch: 2n }));
    if (random.chance(0.5)) loads.push(timeline.loadOlder());
    const shown = timeline.messages;
    expect(timeline.end).toBeUndefined();
    for (let more = random.int(0, 10); more > 0; more--) {
      const before = log.head;
      log.step();
      for (const of of log.events.slice(before)) {
        server.state = apply(server.state, event(of));
        timeline.event(of);
      }
    }
    expect(timeline.messages).toBe(shown);
    while (timeline.isLoading) await Promise.all([old.answerAll(), server.answerAll()]);
    await Promise.all(loads);
    expect(timeline.messages.map(fields), `seed ${seed}`).toEqual(log.shown);
  }
});
