import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { type Command, MemoryStorage, PreconditionError, type Storage, TransportError, v1 } from "../src/index.js";
import { CommandQueue } from "../src/queue/queue.js";
import { Session } from "../src/session/session.js";
import { FakeTransport } from "./fake.js";
import { altered } from "./storages.js";

const ends: (() => void)[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
  ends.splice(0).forEach((end) => end());
});

async function settle(ms = 0) {
  for (let turn = 0; turn < 10; turn++) {
    await vi.advanceTimersByTimeAsync(ms / 10);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A queue of a client that has all of a room up to its head, in an epoch. */
function open(storage: Storage, transport: FakeTransport, { epoch = 1n, seq = 100n } = {}) {
  const session = new Session({ transport, token: () => "t", cursors: [{ roomId: "r", seq, epoch }] as v1.Cursor[] });
  const queue = new CommandQueue(session, storage, {});
  const failed: Command[] = [];
  queue.on("failed", (command) => failed.push(command));
  ends.push(() => (session.close(), void queue.close()));
  session.start();
  return { session, queue, failed, close: () => (session.close(), queue.close()) };
}

/** Ends the connection, and opens another one to a server with this head and epoch of the room. */
async function reconnect(transport: FakeTransport, { epoch, head }: { epoch: bigint; head: bigint }, isTold = true) {
  transport.refusal = undefined;
  if (transport.connections.length > 0 && !transport.last.closed) transport.last.frames.fail(new TransportError("cut"));
  await settle(1_000);
  await settle(30_000);
  transport.last.welcome([{ roomId: "r", seq: head, epoch }]);
  await settle();
  if (isTold) transport.last.say({ case: "gap", value: { roomId: "r", fromSeq: 1n, toSeq: head, reason: v1.GapReason.RESTORED, epoch } });
  await settle();
}

async function connect(transport: FakeTransport) {
  await settle();
  transport.last.welcome([{ roomId: "r", seq: 100n, epoch: 1n }]);
  await settle();
}

const sends = (transport: FakeTransport) => transport.last.of("sendMessage").map(({ operation }) => operation.value as v1.SendMessageRequest);
const send = (text: string, replyToSeq?: number) => ({ kind: "send", roomId: "r", payload: { text, ...(replyToSeq && { replyToSeq }) } }) as const;

async function commandsIn(storage: Storage) {
  const store = await storage.open();
  return (await store.readAll("commands")).map(({ id }) => id);
}

describe("a message that waits while its room is restored", () => {
  test.each([
    { head: 40n, afterSeq: 40n },
    { head: 150n, afterSeq: 100n },
  ])("goes out after the restored room's end, or where it was if that is further: $head", async ({ head, afterSeq }) => {
    const [storage, transport] = [new MemoryStorage(), new FakeTransport()];
    const { queue } = open(storage, transport);
    await connect(transport);
    const { id } = queue.submit(send("hello"));
    await settle();
    expect(sends(transport)).toMatchObject([{ text: "hello", afterSeq: 100n }]);
    await reconnect(transport, { epoch: 2n, head });
    expect(sends(transport)).toMatchObject([{ text: "hello", clientMessageId: id, afterSeq }]);
  });

  test("says the same after a restart, however far the room has come since", async () => {
    const [storage, transport] = [new MemoryStorage(), new FakeTransport()];
    const first = open(storage, transport);
    await connect(transport);
    first.queue.submit(send("hello"));
    await settle();
    await reconnect(transport, { epoch: 2n, head: 40n });
    expect(sends(transport)).toMatchObject([{ afterSeq: 40n }]);
    await first.close();
    // The answer was lost: it may be among the events after 40, so its `afterSeq` must not change.
    const later = new FakeTransport();
    open(storage, later, { epoch: 2n, seq: 40n });
    await reconnect(later, { epoch: 2n, head: 300n }, false);
    expect(sends(later)).toMatchObject([{ text: "hello", afterSeq: 40n }]);
  });

  test("goes out from a client that was restarted meanwhile, too", async () => {
    const [storage, transport] = [new MemoryStorage(), new FakeTransport()];
    const first = open(storage, transport);
    await connect(transport);
    first.queue.submit(send("hello"));
    await settle();
    await first.close();
    const later = new FakeTransport();
    open(storage, later);
    await reconnect(later, { epoch: 2n, head: 40n });
    expect(sends(later)).toMatchObject([{ text: "hello", afterSeq: 40n }]);
  });

  test("waits for a storage that cannot note that it goes out: after another restart it would go out behind itself", async () => {
    const kept = new MemoryStorage();
    const [before, transport] = [open(kept, new FakeTransport()), new FakeTransport()];
    before.queue.submit(send("hello"));
    await settle();
    await before.close();
    let isFailing = false;
    const storage = altered((store) => ({ update: (...args) => (isFailing ? Promise.reject(new Error("disk error")) : store.update(...args)) }), kept);
    open(storage, transport);
    await settle();
    isFailing = true;
    await reconnect(transport, { epoch: 2n, head: 40n });
    await settle(11_000);
    expect(sends(transport)).toEqual([]);
    isFailing = false;
    await settle(11_000);
    expect(sends(transport)).toMatchObject([{ text: "hello", afterSeq: 40n }]);
    expect(await (await kept.open()).readAll("commands")).toMatchObject([{ epoch: 2, afterSeq: 40 }]);
  });

  test("goes out where nothing can be stored, and so nothing is left for a restart", async () => {
    const transport = new FakeTransport();
    const { queue } = open({ open: () => Promise.reject(new Error("denied")) }, transport);
    await connect(transport);
    await settle(3_000);
    queue.submit(send("hello"));
    await settle();
    await reconnect(transport, { epoch: 2n, head: 40n });
    expect(sends(transport)).toMatchObject([{ text: "hello", afterSeq: 40n }]);
  });

  test("goes out without the message that it answers", async () => {
    const transport = new FakeTransport();
    transport.refusal = new TransportError("no network");
    const { queue } = open(new MemoryStorage(), transport);
    queue.submit(send("yes", 80));
    await reconnect(transport, { epoch: 2n, head: 90n });
    expect(sends(transport)).toMatchObject([{ text: "yes", replyToSeq: 0n }]);
  });

  test("is what it was: a kind of the app's keeps it, and its data", async () => {
    const [storage, transport] = [new MemoryStorage(), new FakeTransport()];
    const { queue } = open(storage, transport);
    await connect(transport);
    queue.submit({ kind: "send", roomId: "r", payload: { text: "", kind: "custom:order", data: { id: 17 }, replyToSeq: 90 } });
    await settle();
    await reconnect(transport, { epoch: 2n, head: 40n });
    expect(sends(transport)).toMatchObject([{ kind: "custom:order", data: { id: 17 }, replyToSeq: 0n }]);
  });

  test("that had failed stays, and is sent on request", async () => {
    const [storage, transport] = [new MemoryStorage(), new FakeTransport()];
    const { queue } = open(storage, transport);
    await connect(transport);
    const { id, done } = queue.submit(send("hello"));
    await settle();
    transport.last.refuse({ code: 7, reason: "not_a_member", message: "not a member" });
    await expect(done).rejects.toMatchObject({ reason: "not_a_member" });
    await reconnect(transport, { epoch: 2n, head: 40n });
    expect(queue.commands).toMatchObject([{ id, state: "failed" }]);
    void queue.retry(id);
    await settle();
    expect(sends(transport)).toMatchObject([{ clientMessageId: id, afterSeq: 40n }]);
  });
});

describe("a change that names a message of a room that is restored", () => {
  const CHANGES = [
    { kind: "edit", roomId: "r", payload: { seq: 80, text: "better" } },
    { kind: "delete", roomId: "r", payload: { seq: 80 } },
    { kind: "react", roomId: "r", payload: { seq: 80, emoji: "👍" } },
    { kind: "change", roomId: "r", payload: { operation: "deleteMessage", request: { roomId: "r", seq: "80" } } },
  ] as const;

  test.each(CHANGES)("$kind: is not carried out on what has its place now, whether it waited or was on the wire", async (change) => {
    for (const isSent of [false, true]) {
      const [storage, transport] = [new MemoryStorage(), new FakeTransport()];
      if (!isSent) transport.refusal = new TransportError("no network");
      const { queue, failed } = open(storage, transport);
      if (isSent) await connect(transport);
      const { id, done } = queue.submit(change);
      await settle();
      await reconnect(transport, { epoch: 2n, head: 200n });
      await expect(done).rejects.toBeInstanceOf(PreconditionError);
      await expect(done).rejects.toMatchObject({ reason: "room_restored", metadata: { room_id: "r" } });
      expect(failed).toMatchObject([{ id, error: { reason: "room_restored" } }]);
      // It is not shown on the message that has its seq now.
      expect(queue.commands).toEqual([]);
      await settle(11_000);
      expect(transport.last.sent.map(({ operation }) => operation.case).filter((name) => name !== "getPresence")).toEqual([]);
      expect(await commandsIn(storage)).toEqual([]);
    }
  });

  test("a refused one is forgotten: another try would be at another message", async () => {
    const [storage, transport] = [new MemoryStorage(), new FakeTransport()];
    const { queue, failed } = open(storage, transport);
    await connect(transport);
    queue.submit(CHANGES[0]);
    await settle();
    transport.last.refuse({ code: 7, reason: "not_yours", message: "not yours" });
    await settle();
    expect(failed).toHaveLength(1);
    await reconnect(transport, { epoch: 2n, head: 200n });
    expect(queue.commands).toEqual([]);
    expect(failed).toHaveLength(1);
    expect(await commandsIn(storage)).toEqual([]);
  });

  test("a read mark is dropped without a word", async () => {
    const [storage, transport] = [new MemoryStorage(), new FakeTransport()];
    transport.refusal = new TransportError("no network");
    const { queue, failed } = open(storage, transport);
    const { done } = queue.submit({ kind: "markRead", roomId: "r", payload: { seq: 90 } });
    await reconnect(transport, { epoch: 2n, head: 200n });
    await expect(done).resolves.toBeUndefined();
    expect(failed).toEqual([]);
    expect(transport.last.of("markRead")).toEqual([]);
  });

  test("one that is made while the page still shows the former log is refused as well", async () => {
    const transport = new FakeTransport();
    const { queue } = open(new MemoryStorage(), transport);
    await connect(transport);
    transport.last.frames.fail(new TransportError("cut"));
    await settle(1_000);
    transport.last.welcome([{ roomId: "r", seq: 200n, epoch: 2n }]);
    await settle();
    const { done } = queue.submit(CHANGES[0]);
    await expect(done).rejects.toMatchObject({ reason: "room_restored" });
    await settle();
    expect(transport.last.of("editMessage")).toEqual([]);
  });
});

test("changes of other rooms, and of the room after the restore, go out as ever", async () => {
  const transport = new FakeTransport();
  const { queue } = open(new MemoryStorage(), transport);
  await connect(transport);
  await reconnect(transport, { epoch: 2n, head: 200n });
  queue.submit({ kind: "edit", roomId: "r", payload: { seq: 150, text: "better" } });
  queue.submit({ kind: "edit", roomId: "elsewhere", payload: { seq: 3, text: "better" } });
  queue.submit({ kind: "hide", roomId: "r", payload: { hidden: true } });
  await settle();
  expect(transport.last.of("editMessage").map(({ operation }) => operation.value)).toMatchObject([{ roomId: "r", seq: 150n, afterSeq: 200n }, { roomId: "elsewhere" }]);
});

