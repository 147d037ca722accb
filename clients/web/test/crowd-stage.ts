import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished } from "vitest";

import { People } from "./browser.js";
import { Crowd, type CrowdOptions } from "./crowd.js";

/** Maximum number of elements on the whole page, however many rooms and users there
 * are. */
export const MOST_ELEMENTS = 1_000;

/** A browser for the tests of the importing file; no page in it may log an error. */
export let people: People;
beforeAll(async () => void (people = await People.start()));
afterAll(async () => {
  await people?.stop();
  expect(people.complaints).toEqual([]);
});

/** A server for one test. */
export async function crowd(options: CrowdOptions): Promise<Crowd> {
  const crowd = await Crowd.start(options);
  onTestFinished(() => crowd.stop());
  return crowd;
}

/** Its user's page. */
export async function signedIn(crowd: Crowd): Promise<Page> {
  const page = await (await people.context()).newPage();
  await page.goto(crowd.signIn);
  await page.getByTestId("connection").getByText("Online").waitFor();
  return page;
}
