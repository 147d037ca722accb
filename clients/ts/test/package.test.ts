import { execFile } from "node:child_process";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import ts from "typescript";
import { afterAll, beforeAll, expect, test } from "vitest";

import { problemsOf, REACT, root, snippets, STRICT } from "./snippets.js";

const run = promisify(execFile);
/** Where the archive is built, and a folder with nothing but the installed package. */
let [built, empty] = ["", ""];

beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), "parlance-built-"));
  empty = await mkdtemp(join(tmpdir(), "parlance-empty-"));
  await cp(join(root, "package.json"), join(built, "package.json"));
  const dist = join(built, "dist");
  await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, "tsconfig.build.json"), "--outDir", dist]);
  await run(process.execPath, [join(root, "tools/commonjs.mjs"), dist]);
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", empty], { cwd: built });
  await writeFile(join(empty, "package.json"), JSON.stringify({ name: "empty", private: true }));
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error", `./${stdout.trim()}`], { cwd: empty });
}, 300_000);
afterAll(() => Promise.all([built, empty].map((folder) => rm(folder, { recursive: true, force: true }))));

/** Uses what is loaded with the package, and what it loads on demand. Prints the exports of each part. */
const PROGRAM = `
async function main(sdk, grpcWeb, node, invitations, reports, directory, inbox, permissions, links, joinRequests, members) {
  const names = (of) => Object.keys(of).filter((name) => name !== "default" && name !== "module.exports").sort();
  console.log(JSON.stringify([sdk, grpcWeb, node, invitations, reports, directory, inbox, permissions, links, joinRequests, members].map(names)));
  const transport = { open: () => Promise.reject(new sdk.TransportError("nobody is there")) };
  const client = new sdk.Client({ url: "http://127.0.0.1:1", token: "t", transport, storage: new node.FileStorage("./state") });
  client.send({ toUser: "bob", text: "later" }).catch(() => {});
  await client.start({ timeoutMs: 500 }).then(() => { throw new Error("started"); }, (error) => {
    if (!(error instanceof sdk.TransportError)) throw error;
  });
  if (client.storage.status !== "durable") throw new Error(JSON.stringify(client.storage));
  grpcWeb.grpcWeb("http://127.0.0.1:1");
  if (invitations.invitationsOf(client) !== invitations.invitationsOf(client)) throw new Error("two of them");
  // The client is closed by now: its errors are of the same classes.
  await invitations.invitationsOf(client).load().then(() => { throw new Error("loaded"); }, (error) => {
    if (!(error instanceof sdk.ParlanceError)) throw error;
  });
  const calls = [() => reports.reportUser(client, "bob"), () => directory.listDirectory(client).next(), () => inbox.listInbox(client).next(), () => permissions.defaultPermissions(client), () => links.listLinks(client, "r"), () => joinRequests.requestToJoin(client, "r"), () => members.listMembers(client, "r").next()];
  for (const call of calls) await call().then(() => { throw new Error("answered"); }, (error) => {
    if (!(error instanceof sdk.ParlanceError)) throw error;
  });
  // Far enough to load the module that opens it.
  globalThis.indexedDB = { open() { throw new Error("opened"); } };
  await new sdk.IndexedDbStorage("x").open().then(() => { throw new Error("open"); }, (error) => {
    if (error.message !== "opened") throw error;
  });
}
`;

test("required and imported, it has the same parts, and they work", async () => {
  const parts = ["", "/grpc-web", "/node", "/invitations", "/reports", "/directory", "/inbox", "/permissions", "/links", "/join-requests", "/members"].map((part) => `@parlance/client${part}`);
  await writeFile(join(empty, "required.cjs"), `${PROGRAM}\nmain(${parts.map((part) => `require("${part}")`).join(", ")});`);
  await writeFile(join(empty, "imported.mjs"), `${PROGRAM}\nawait main(${parts.map((part) => `await import("${part}")`).join(", ")});`);
  const [required, imported] = [await run(process.execPath, ["required.cjs"], { cwd: empty }), await run(process.execPath, ["imported.mjs"], { cwd: empty })];
  expect(JSON.parse(required.stdout)).toEqual(JSON.parse(imported.stdout));
  expect(JSON.parse(required.stdout)[0]).toContain("Client");
}, 60_000);

test("the snippets of the documentation compile against it under strict TypeScript, and so does what requires it", () => {
  const all = snippets();
  expect(all.length).toBeGreaterThan(3);
  const files = new Map([
    [join(empty, "react.ts"), REACT],
    ...all.map((code, at) => [join(empty, `snippet-${at}.mts`), code] as const),
    [
      join(empty, "required.cts"),
      `import { Client, type Room } from "@parlance/client";
import { grpcWeb } from "@parlance/client/grpc-web";
import { type DirectoryChannel, listDirectory } from "@parlance/client/directory";
import { type InboxOptions, listInbox } from "@parlance/client/inbox";
import { type Invitation, invitationsOf } from "@parlance/client/invitations";
import { type JoinRequest, listJoinRequests } from "@parlance/client/join-requests";
import { createLink, type NewLink } from "@parlance/client/links";
import { listMembers, type Member } from "@parlance/client/members";
import { may, type Permission } from "@parlance/client/permissions";
import { listReports, type Report } from "@parlance/client/reports";
import node = require("@parlance/client/node");
const client = new Client({ url: "https://chat.example", token: "t", transport: grpcWeb("https://chat.example"), storage: new node.FileStorage("state") });
export const room: Room | undefined = client.room("r");
export const all: readonly Invitation[] = invitationsOf(client).all;
export const reports: AsyncGenerator<Report, void> = listReports(client);
export const channels: AsyncGenerator<DirectoryChannel, void> = listDirectory(client);
export const inbox = (options: InboxOptions) => listInbox(client, options);
export const link: Promise<NewLink> = createLink(client, "r");
export const requests: AsyncGenerator<JoinRequest, void> = listJoinRequests(client);
export const members: AsyncGenerator<Member, void> = listMembers(client, "r");
export const can = (what: Permission) => room && may(client, room.info, what);
`,
    ],
  ]);
  const problems = problemsOf(files, {
    ...STRICT,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    typeRoots: [join(root, "node_modules/@types")],
    paths: { react: [join(empty, "react.ts")] },
  });
  expect(problems).toEqual([]);
}, 120_000);
