import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";

import { v1, WebSocketTransport } from "../src/index.js";

test("fields that the server does not know are to be ignored", () => {
  const offers: string[][] = [];
  class Recorder {
    constructor(_: string, protocols: string[]) {
      offers.push(protocols);
    }
    close() {}
  }
  const transport = new WebSocketTransport("http://chat.example", Recorder as never);
  transport.open("t", create(v1.HelloSchema)).catch(() => {});
  expect(offers).toEqual([["parlance.v1", "unknown-fields.ignore", "bearer.t"]]);
});
