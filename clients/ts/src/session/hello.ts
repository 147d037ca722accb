import { create } from "@bufbuild/protobuf";

import { type ClientFrame, ClientFrameSchema, type Cursor, type Hello, HelloSchema } from "../gen/chat_pb.js";

/**
 * The hello that names as many of the cursors as fit into `maxBytes` as they are sent, the first ones first. Rooms that are
 * left out begin with a gap.
 */
export function helloWithin(maxBytes: number, deviceId: string, cursors: Cursor[], size: (frame: ClientFrame) => number): Hello {
  const helloOf = (count: number) => create(HelloSchema, { deviceId, cursors: cursors.slice(0, count) });
  const fits = (count: number) =>
    size(create(ClientFrameSchema, { requestId: "hello", operation: { case: "hello", value: helloOf(count) } })) <= maxBytes;
  if (fits(cursors.length)) return helloOf(cursors.length);
  // `low` fits, or is none; `high` does not.
  let [low, high] = [0, cursors.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return helloOf(low);
}
