import { expect, onTestFinished, test, vi } from "vitest";

import { Client, TransportError } from "../src/index.js";
import { FakeTransport } from "./fake.js";

async function open() {
  const transport = new FakeTransport();
  const client = new Client({ url: "http://nowhere", token: "t", transport });
  onTestFinished(() => client.close());
  client.start().catch(() => {});
  await vi.waitFor(() => expect(transport.connections).toHaveLength(1));
  transport.last.welcome();
  await vi.waitFor(() => expect(client.state.status).toBe("online"));
  const asked = (count: number) => vi.waitFor(() => expect(transport.last.of("listBlocked")).toHaveLength(count));
  const answer = (at: number, userIds: string[], nextPageToken = "") => {
    const { requestId } = transport.last.of("listBlocked")[at]!;
    transport.last.reply(requestId, { case: "listBlocked", value: { blocks: userIds.map((userId) => ({ userId })), nextPageToken } });
  };
  const signal = (userId: string, blocked: boolean) =>
    transport.last.say({ case: "signal", value: { signal: { case: "blockChanged", value: { userId, blocked } } } });
  return { client, transport, asked, answer, signal };
}

test("a change while the list is read is newer than the list", async () => {
  const { client, asked, answer, signal } = await open();
  const loading = client.loadBlocked();
  await asked(1);
  answer(0, ["ann", "bob"], "next");
  await asked(2);
  signal("bob", false);
  signal("dora", true);
  answer(1, ["carl"]);
  expect(await loading).toEqual(["ann", "carl", "dora"]);
  expect(client.getSnapshot("blocked")).toBe(client.blocked);
});

test("of two reads at once the later one counts, for both", async () => {
  const { client, asked, answer } = await open();
  const [first, second] = [client.loadBlocked(), client.loadBlocked()];
  await asked(2);
  answer(0, ["old"]);
  answer(1, ["new"]);
  expect(await first).toEqual(["new"]);
  expect(await second).toEqual(["new"]);
});

test("it is read again on each connection, since signals may have been missed", async () => {
  const { client, transport, asked, answer } = await open();
  const loading = client.loadBlocked();
  await asked(1);
  answer(0, ["ann"]);
  await loading;
  const changed = vi.fn();
  client.subscribe("blocked", changed);
  transport.last.frames.fail(new TransportError("lost"));
  await vi.waitFor(() => expect(transport.connections).toHaveLength(2), { timeout: 10_000 });
  transport.last.welcome();
  await asked(1);
  answer(0, ["ann", "bob"]);
  await vi.waitFor(() => expect(client.blocked).toEqual(["ann", "bob"]));
  expect(changed).toHaveBeenCalledOnce();
});
