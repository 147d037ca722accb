import { afterAll, beforeAll, expect } from "vitest";

import { Server } from "../../ts/test/server.js";
import { People } from "./browser.js";

/** A server and a browser for the tests of the importing file; no page in it may log an error. */
export let server: Server;
export let people: People;

beforeAll(async () => {
  [server, people] = await Promise.all([Server.start(), People.start()]);
});

afterAll(async () => {
  await Promise.all([server?.stop(), people?.stop()]);
  expect(people.complaints).toEqual([]);
});
