import { fileURLToPath } from "node:url";

import { Client, WebSocketTransport } from "@parlance/client";
import { invitationsOf } from "@parlance/client/invitations";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { build, type Rollup } from "vite";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";

import { until } from "./browser.js";
import { people, server } from "./stage.js";

const at = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** The fixture as one script. */
async function bundled(): Promise<string> {
  const output = (await build({
    configFile: false,
    logLevel: "error",
    root: at("."),
    plugins: [svelte({ configFile: false })],
    resolve: { alias: { "@parlance/client/invitations": at("../../ts/src/invitations.ts"), "@parlance/client": at("../../ts/src/index.ts"), "@parlance/svelte": at("../../svelte/src/index.ts") }, dedupe: ["svelte"] },
    build: { write: false, target: "es2022", rollupOptions: { input: at("fixture/slices.ts"), output: { inlineDynamicImports: true } } },
  })) as Rollup.RollupOutput;
  return output.output[0].code;
}

test("a component follows the rooms, the messages, who types, who is there and who invites", async () => {
  const [script, token] = [await bundled(), await server.token("svelte-ann")];
  const bob = new Client({ url: server.url, token: await server.token("svelte-bob"), transport: new WebSocketTransport(server.url, WebSocket as never) });
  onTestFinished(() => bob.close());
  await bob.start();

  const page = await (await people.context()).newPage();
  await page.route("**/fixture.html", (route) => route.fulfill({ contentType: "text/html", body: '<link rel="icon" href="data:,"><body></body>' }));
  await page.goto(`${server.url}/fixture.html`);
  await page.addScriptTag({ content: script, type: "module" });
  const mounted = await page.evaluateHandle((props) => window.slices.mount(props), { url: server.url, token, peerId: "svelte-bob" });
  const shows = (id: string, text: string) => until(`${id} is ${text}`, () => page.getByTestId(id).textContent(), (shown) => shown === text);

  await shows("status", "online");
  const room = await bob.createRoom({ kind: "group", title: "Plans", memberIds: ["svelte-ann"] });
  await shows("rooms", "Plans");
  await room.send("hello");
  await shows("messages", "hello");
  await shows("unread", "1");
  const party = await bob.createRoom({ kind: "group", title: "Party" });
  await invitationsOf(bob).invite(party.id, "svelte-ann");
  await shows("invitations", "Party");
  await invitationsOf(bob).revoke(party.id, "svelte-ann");
  await shows("invitations", "");
  room.startTyping();
  await shows("typing", "svelte-bob");
  await room.send("and?");
  await shows("messages", "hello,and?");
  await shows("typing", "");
  await shows("online", "svelte-bob");
  bob.close();
  await shows("online", "");
  await page.evaluate((component) => window.slices.unmount(component), mounted);
  expect(await page.getByTestId("status").count()).toBe(0);
});
