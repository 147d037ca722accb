import { expect, test, vi } from "vitest";

import { listDirectory } from "../src/directory.js";
import { v1 } from "../src/index.js";
import { answerJoinRequest, type JoinRequest, listJoinRequests, onJoinRequest, requestToJoin, withdrawJoinRequest } from "../src/join-requests.js";
import { all, person, unique } from "./people.js";

const { BY_REQUEST, OPEN } = v1.RoomJoining;

test("somebody asks to join, with a note, and is let in", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const title = unique("Garden");
  const room = await ann.createRoom({ kind: "channel", title });
  await room.update({ joining: BY_REQUEST, listed: true });
  await vi.waitFor(() => expect(room.joining).toBe(BY_REQUEST));
  expect(await all(listDirectory(bob, { titlePrefix: title }))).toMatchObject([{ id: room.id, joining: BY_REQUEST }]);
  await expect(bob.joinRoom(room.id)).rejects.toMatchObject({ reason: "by_request" });

  const told: [string, JoinRequest | undefined][] = [];
  onJoinRequest(bob, (...change) => told.push(change));
  const asked = vi.fn();
  ann.on("event", ({ body }) => body.case === "joinRequested" && asked(body.value.userId));
  await requestToJoin(bob, room.id, { note: "I live next door" });
  await vi.waitFor(() => expect(told).toMatchObject([[room.id, { userId: bob.userId, isRejected: false, note: "I live next door", title }]]));
  await vi.waitFor(() => expect(asked).toHaveBeenCalledWith(bob.userId));
  expect(await all(listJoinRequests(bob))).toMatchObject([{ roomId: room.id, title, kind: v1.RoomKind.CHANNEL, note: "I live next door" }]);
  const [request] = await all(listJoinRequests(ann, { roomId: room.id }));
  expect(request).toMatchObject({ roomId: room.id, userId: bob.userId, note: "I live next door", isRejected: false });
  await answerJoinRequest(ann, request!, "approve");
  await vi.waitFor(() => expect(bob.room(room.id)?.isMember).toBe(true));
  await vi.waitFor(() => expect(told.at(-1)).toEqual([room.id, undefined]));
  expect(await all(listJoinRequests(ann, { roomId: room.id }))).toEqual([]);
});

test("a request is withdrawn, and another one rejected: the user may ask again later", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const room = await ann.createRoom({ kind: "group", title: "Plans" });
  await expect(requestToJoin(bob, room.id)).rejects.toMatchObject({ code: 7 });
  await room.update({ joining: BY_REQUEST });
  await requestToJoin(bob, room.id);
  await withdrawJoinRequest(bob, room.id);
  expect(await all(listJoinRequests(bob))).toEqual([]);
  await requestToJoin(bob, room.id);
  await answerJoinRequest(ann, { roomId: room.id, userId: bob.userId }, "reject");
  expect(await all(listJoinRequests(bob))).toMatchObject([{ roomId: room.id, isRejected: true, note: "" }]);
  await expect(requestToJoin(bob, room.id)).rejects.toMatchObject({ reason: "request_rejected" });
  await expect(answerJoinRequest(ann, { roomId: room.id, userId: bob.userId }, "approve")).rejects.toMatchObject({ reason: "join_request_not_found" });
  await expect(room.update({ joining: OPEN })).rejects.toMatchObject({ code: 3 });
});
