// What a session says of its rooms: `npm test`.
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";

import { CursorSchema, WelcomeSchema } from "./gen/chat_pb.js";
import { Rooms } from "./rooms.js";

/**
 * @param {bigint} seq
 * @param {bigint} epoch
 */
const cursor = (seq, epoch) => create(CursorSchema, { roomId: "r", seq, epoch });

test("a cursor has the epoch of its room", () => {
  const rooms = new Rooms([]);
  equal(rooms.cursor("r"), undefined);
  rooms.welcomed(create(WelcomeSchema, { heads: [cursor(9n, 3n)] }));
  equal(rooms.cursor("r"), undefined);
  rooms.advance("r", 7n);
  deepEqual(rooms.cursor("r"), cursor(7n, 3n));
  // The next session says the same, and does not take the epoch of another log for its own.
  const later = new Rooms([cursor(7n, 3n)]);
  later.welcomed(create(WelcomeSchema, { heads: [cursor(20n, 4n)] }));
  deepEqual(later.cursors(1_000), [cursor(7n, 3n)]);
});
