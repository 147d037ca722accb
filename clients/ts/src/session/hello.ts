import { create } from "@bufbuild/protobuf";

import { type ClientFrame, ClientFrameSchema, type Cursor, type Hello, HelloSchema } from "../gen/chat_pb.js";

/**
 * The hello with as many cursors as fit into `maxBytes`, the first ones first. Rooms without one start with a gap.
 */
export function helloWithin(maxBytes: number, deviceId: string, cursors: readonly Cursor[], size: (frame: ClientFrame) => number): Hello {
  for (let count = cursors.length; ; ) {
    const hello = create(HelloSchema, { deviceId, cursors: cursors.slice(0, count) });
    const bytes = size(create(ClientFrameSchema, { requestId: "hello", operation: { case: "hello", value: hello } }));
    if (bytes <= maxBytes || count === 0) return hello;
    // Reduced in proportion to the excess, since cursors have similar sizes.
    count = Math.floor((count * maxBytes) / bytes);
  }
}
