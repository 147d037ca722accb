import type { Timestamp } from "@bufbuild/protobuf/wkt";

import { date } from "../room/message.js";

/** The end of a mute in milliseconds since 1970: 0 for none, Infinity if it only ends when it is lifted. */
export function endOf(mute: { readonly until?: Timestamp | undefined } | undefined): number {
  return !mute ? 0 : mute.until ? date(mute.until).getTime() : Infinity;
}
