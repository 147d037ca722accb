import { expect, test } from "vitest";

import { ask } from "../src/session/operations.js";

test("seqs of requests may be numbers, in lists of messages too", () => {
  expect(ask("markRead", { roomId: "r", seq: 7 })).toMatchObject({ case: "markRead", value: { roomId: "r", seq: 7n } });
  expect(ask("markRead", { roomId: "r", seq: 7n }).value).toMatchObject({ seq: 7n });
  expect(ask("listMessages", { roomId: "r", afterSeq: 0, beforeSeq: 9, pageSize: 50 }).value).toMatchObject({ afterSeq: 0n, beforeSeq: 9n, pageSize: 50 });
  const target = { case: "roomId", value: "r" } as const;
  expect(ask("sendMessage", { target, text: "hi", replyToSeq: 3, clientMessageId: "a" }).value).toMatchObject({ target, replyToSeq: 3n });
});

test("a number that is no integer is refused before it is sent", () => {
  expect(() => ask("markRead", { roomId: "r", seq: 1.5 })).toThrow(RangeError);
});
