import { describe, expect, onTestFinished, test, vi } from "vitest";
import { WebSocket } from "ws";

import { InvalidRequestError, v1, WebSocketTransport } from "../src/index.js";
import { Session } from "../src/session/session.js";
import { grpcWeb } from "../src/transport/grpc-web.js";
import { eventually } from "./eventually.js";
import { FakeHost, FakeTransport, message } from "./fake.js";
import { person, server, unique, withToken } from "./people.js";

const TRANSPORTS = {
  websocket: () => new WebSocketTransport(server.url, WebSocket as never),
  "grpc-web": () => grpcWeb(server.url),
};

describe.each(Object.entries(TRANSPORTS))("over %s", (_, transport) => {
  const backend = async () => withToken(await server.backendToken(unique("shop")), { transport: transport() });

  test("an app's backend acts as its users, and the log names both", async () => {
    const [shop, alice, bob] = [await backend(), await person("alice"), await person("bob")];
    const events: v1.Event[] = [];
    bob.on("event", (event) => events.push(event));
    const acting = shop.as(alice.userId);
    const { room } = await acting.call("createRoom", { kind: v1.RoomKind.GROUP, settings: { title: "Plans" }, memberIds: [bob.userId] });
    const roomId = room!.roomId;
    const { seq } = await acting.send({ roomId, text: "sent from the shop", data: { from: "shop" } });
    await shop.as(bob.userId).call("addReaction", { roomId, seq, emoji: "👍" });
    await shop.as(bob.userId).call("markRead", { roomId, seq });

    const theirs = await eventually("she has the room", () => alice.room(roomId));
    expect([theirs.role, shop.rooms]).toEqual([v1.Role.OWNER, []]);
    await theirs.loadLatest();
    await eventually("the reaction is there", () => theirs.messages[0]?.reactions.length === 1);
    expect(theirs.messages).toMatchObject([{ senderId: alice.userId, text: "sent from the shop", data: { from: "shop" }, reactions: [{ userIds: [bob.userId] }] }]);
    await eventually("he has read it", () => bob.room(roomId)?.readSeq === seq);
    const said = await eventually("he has the message", () => events.find(({ body }) => body.case === "message"));
    expect([said.actorId, said.serviceId]).toEqual([alice.userId, shop.userId]);
  });

  test("a message with an id is sent once, to a room or a user, by whichever process", async () => {
    const [shop, alice, bob] = [await backend(), await person("alice"), await person("bob")];
    const draft = { id: "thanks-17", toUser: bob.userId, text: "thank you" };
    const first = await shop.as(alice.userId).send(draft);
    shop.close();
    const again = await withToken(await server.backendToken(unique("shop")), { transport: transport() });
    expect(await again.as(alice.userId).send(draft)).toMatchObject({ roomId: first.roomId, seq: first.seq });
    const { text } = await eventually("he has it", () => bob.directRoomWith(alice.userId)?.lastMessage);
    expect(text).toBe("thank you");
  });

  test("it has the rights of the user, whose name it needs, and nobody else has them", async () => {
    const [shop, alice, stranger] = [await backend(), await person("alice"), await person("stranger")];
    const { id: roomId } = await alice.createRoom({ kind: "group", title: "Diary" });
    await expect(shop.as(stranger.userId).send({ roomId, text: "let me in" })).rejects.toMatchObject({ reason: "not_member" });
    await expect(stranger.as(alice.userId).send({ roomId, text: "it is me" })).rejects.toMatchObject({ name: "PermissionDeniedError", reason: "needs_scope" });
    expect(() => shop.as("")).toThrow(TypeError);
    for (const userId of ["me", "Zoë", "a b", "a\nb", "a/b"]) {
      const refused = await shop.as(userId).call("getUser", { userId: alice.userId }).catch((error: unknown) => error);
      expect(refused, userId).toBeInstanceOf(InvalidRequestError);
      expect(refused, userId).toMatchObject({ reason: "invalid_field", message: expect.stringContaining("as_user") as string });
    }
    expect(shop.state.status).toBe("online");
    await shop.as(alice.userId).call("getRoom", { roomId });
  });
});

test("a call as a user that the server has lost sight of is looked for as that user, in the user's name", async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const settle = () => vi.advanceTimersByTimeAsync(0);
  const transport = new FakeTransport();
  const session = new Session({ transport, host: new FakeHost(), token: () => "token" });
  onTestFinished(() => session.close());
  session.start();
  await settle();
  transport.last.welcome([{ roomId: "r", seq: 10n }]);
  await settle();
  const connection = transport.last;
  const call = session.call("sendMessage", { target: { case: "roomId", value: "r" }, text: "hello", clientMessageId: "m1" }, { asUser: "bob" });
  await settle();
  connection.refuse({ code: 9, reason: "catch_up_first", metadata: { head_seq: "300" } });
  await settle();
  expect(connection.sent.map(({ asUser, operation }) => [operation.case, asUser])).toEqual([["sendMessage", "bob"], ["listEvents", "bob"]]);
  connection.answer({ case: "listEvents", value: { events: [message("r", 20n, "hello", "alice", "m1"), message("r", 21n, "hello", "bob", "m1")] } });
  expect(await call).toMatchObject({ seq: 21n, isRepeat: true });
});
