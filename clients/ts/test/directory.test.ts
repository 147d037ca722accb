import { expect, test, vi } from "vitest";

import { type DirectoryChannel, listDirectory } from "../src/directory.js";
import { PermissionDeniedError, PreconditionError, v1 } from "../src/index.js";
import { all, person, unique } from "./people.js";

const titles = (channels: readonly DirectoryChannel[]) => channels.map(({ title }) => title);

test("a channel is found by the beginning of its title, joined, and gone when it is taken out or archived", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const name = unique("Garden");
  const [tools, seeds] = await Promise.all(["tools", "Seeds"].map((what) => ann.createRoom({ kind: "channel", title: `${name} ${what}`, topic: `all about ${what}` })));
  const prefix = `  ${name.toUpperCase()}  `;
  expect(await all(listDirectory(bob, { titlePrefix: prefix }))).toEqual([]);
  await Promise.all([tools!.update({ listed: true, imageUrl: "https://pictures.example/tools.png" }), seeds!.update({ listed: true })]);
  const found = await all(listDirectory(bob, { titlePrefix: prefix }));
  expect(found).toEqual([
    { id: seeds!.id, title: `${name} Seeds`, topic: "all about Seeds", imageUrl: "", memberCount: 1, joining: v1.RoomJoining.OPEN },
    { id: tools!.id, title: `${name} tools`, topic: "all about tools", imageUrl: "https://pictures.example/tools.png", memberCount: 1, joining: v1.RoomJoining.OPEN },
  ]);
  expect(Object.isFrozen(found[0])).toBe(true);

  const joined = await bob.joinRoom(tools!.id);
  expect([joined.title, joined.isMember, joined.isListed]).toEqual([`${name} tools`, true, true]);
  expect((await all(listDirectory(bob, { titlePrefix: `${name} T` })))[0]?.memberCount).toBe(2);

  await seeds!.update({ archived: true });
  expect(titles(await all(listDirectory(bob, { titlePrefix: name })))).toEqual([`${name} tools`]);
  await expect(bob.joinRoom(seeds!.id)).rejects.toThrow(PreconditionError);
  await tools!.update({ listed: false });
  expect(await all(listDirectory(bob, { titlePrefix: name }))).toEqual([]);
});

test("all pages are read, each once, and no more than are asked for", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const name = unique("many");
  const wanted = Array.from({ length: 7 }, (_, at) => `${name} ${at}`);
  for (const title of wanted) await (await ann.createRoom({ kind: "channel", title })).update({ listed: true });
  expect(titles(await all(listDirectory(bob, { titlePrefix: name, pageSize: 3 })))).toEqual(wanted);
  const call = vi.spyOn(bob, "call");
  expect(titles(await all(listDirectory(bob, { titlePrefix: name, pageSize: 3 }), 3))).toEqual(wanted.slice(0, 3));
  expect(call).toHaveBeenCalledOnce();
  const stop = AbortSignal.abort(new Error("enough"));
  await expect(all(listDirectory(bob, { signal: stop }))).rejects.toThrow("enough");
});

test("a channel that is renamed between two pages is there once", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const name = unique("moves");
  const rooms = await Promise.all([1, 2, 3, 4].map((at) => ann.createRoom({ kind: "channel", title: `${name} ${at}` })));
  for (const room of rooms) await room.update({ listed: true });
  const found: string[] = [];
  for await (const { id } of listDirectory(bob, { titlePrefix: name, pageSize: 2 })) {
    if (found.push(id) === 2) await rooms[0]!.update({ title: `${name} 9` });
  }
  expect(found).toEqual(rooms.map(({ id }) => id));
});

test("only channels are listed, by those who may change the settings", async () => {
  const [ann, bob] = await Promise.all([person("ann"), person("bob")]);
  const group = await ann.createRoom({ kind: "group", title: "Plans" });
  await expect(group.update({ listed: true })).rejects.toMatchObject({ reason: "invalid_field" });
  const channel = await ann.createRoom({ kind: "channel", title: "News" });
  await expect((await bob.joinRoom(channel.id)).update({ listed: true })).rejects.toThrow(PermissionDeniedError);
});
