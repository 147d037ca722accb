import { toJson } from "@bufbuild/protobuf";

import { type ClientFrame, ClientFrameSchema } from "../gen/chat_pb.js";

/** Half a surrogate pair, such as a cut emoji. */
const LONE_SURROGATE = /\p{Surrogate}/gu;

/** A frame as canonical proto3 JSON. A lone surrogate becomes U+FFFD, as in the binary encoding. */
export function encodeJson(frame: ClientFrame): string {
  return JSON.stringify(toJson(ClientFrameSchema, frame), (_, value: unknown) =>
    typeof value === "string" ? value.replace(LONE_SURROGATE, "\ufffd") : value,
  );
}

/** Bytes of UTF-8 that a text takes. */
export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
