import { create } from "@bufbuild/protobuf";

import { type ClientFrame, ClientFrameSchema, type Cursor, type Hello, HelloSchema } from "../gen/chat_pb.js";

/**
 * The hello that names as many of the cursors as fit into `maxBytes` as they are sent, the first ones first. Rooms that are
 * left out begin with a gap.
 */
export function helloWithin(maxBytes: number, deviceId: string, cursors: readonly Cursor[], size: (frame: ClientFrame) => number): Hello {
  for (let count = cursors.length; ; ) {
    const hello = create(HelloSchema, { deviceId, cursors: cursors.slice(0, count) });
    const bytes = size(create(ClientFrameSchema, { requestId: "hello", operation: { case: "hello", value: hello } }));
    if (bytes <= maxBytes || count === 0) return hello;
    // Fewer by as much as it is too large, for cursors take about the same each.
    count = Math.floor((count * maxBytes) / bytes);
  }
}
