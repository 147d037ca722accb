import { afterAll, beforeAll, expect, test } from "vitest";

import { Cluster } from "../../ts/test/cluster.js";
import { composer, message, open, People, say, texts, until } from "./browser.js";

let cluster: Cluster;
let people: People;
beforeAll(async () => {
  [cluster, people] = await Promise.all([Cluster.start(2), People.start()]);
});
afterAll(async () => {
  await Promise.all([cluster?.stop(), people?.stop()]);
  expect(people.complaints).toEqual([]);
});

test("three people with tokens talk across two nodes, one of which is killed", async () => {
  const [one, two] = cluster.nodes.map(({ url }) => url) as [string, string];
  const ann = await people.withToken(one, cluster.token("ann"));
  const ben = await people.withToken(two, cluster.token("ben"));
  const cat = await people.withToken(cluster.url, cluster.token("cat"));
  // The token is removed from the URL.
  expect(ann.url()).not.toContain("token");
  await ann.getByText("No conversations yet.").waitFor();

  // There is no directory, and strangers see no profiles: users are added by their ids.
  await ann.getByRole("button", { name: "New conversation" }).click();
  await ann.getByRole("radio", { name: "Group" }).check();
  await ann.getByRole("textbox", { name: "Title" }).fill("Crew");
  for (const id of ["ben", "cat"]) {
    await ann.getByLabel("People", { exact: true }).and(ann.getByRole("textbox")).fill(id);
    await ann.getByRole("button", { name: `Add ${id} by id` }).click();
  }
  await ann.getByRole("button", { name: "Create" }).click();
  await ann.getByRole("heading", { level: 2, name: "Crew" }).waitFor();
  for (const page of [ben, cat]) await open(page, "Crew");

  await say(ann, "from the first node");
  await message(ben, "from the first node").waitFor();
  await message(cat, "from the first node").waitFor();
  await composer(ben).pressSequentially("I");
  await ann.getByRole("region", { name: "Crew" }).getByText("ben is typing…").waitFor();
  await say(ben, "from the second");
  await message(ann, "from the second").waitFor();
  await message(ann, "from the first node").locator("[data-state=read]").waitFor();

  const killed = cluster.restart(1, "SIGKILL");
  await until("ben sees it", () => ben.getByTestId("connection").textContent(), (text) => /Offline/.test(text ?? ""));
  await say(ann, "ben, are you there?");
  await say(ben, "yes, in a moment");
  await killed;
  await message(ann, "yes, in a moment").waitFor();
  await message(ben, "ben, are you there?").waitFor();
  const all = ["from the first node", "from the second", "ben, are you there?", "yes, in a moment"];
  for (const page of [ann, ben, cat]) await until("all have all, once and in one order", () => texts(page), (now) => String(now) === String(all));

  // A direct message from one node to the other.
  await ben.getByRole("button", { name: "Details", exact: true }).click();
  await ben.getByRole("complementary").getByRole("link", { name: "ann" }).click();
  await ben.getByRole("heading", { level: 2, name: "ann", exact: true }).waitFor();
  await say(ben, "just you and me");
  await open(ann, "ben");
  await message(ann, "just you and me").waitFor();
  expect(await cat.getByRole("list", { name: "Rooms" }).getByRole("listitem").count()).toBe(1);
});

test("a token that is not accepted, or not any more, leads back to the door", async () => {
  const page = await (await people.context()).newPage();
  await page.goto(`${cluster.url}/#token=${cluster.token("eve").slice(0, -4)}AAAA`);
  await page.getByRole("status").getByText("You were signed out").waitFor();
  // If names are not accepted, a token is requested.
  await page.getByLabel("Token").fill(cluster.token("eve"));
  await page.getByLabel("Stay signed in on this device").check();
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByTestId("connection").getByText("Online").waitFor();
  // Kept by the browser until sign-out.
  const tab = await page.context().newPage();
  await tab.goto(cluster.url);
  await tab.getByTestId("connection").getByText("Online").waitFor();
  await tab.getByRole("button", { name: "Account and settings" }).click();
  await tab.getByRole("menuitem", { name: "Sign out" }).click();
  await tab.getByLabel("Token").waitFor();
  await tab.reload();
  await tab.getByLabel("Token").waitFor();
});
