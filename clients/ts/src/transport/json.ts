import { toJson } from "@bufbuild/protobuf";

import { type ClientFrame, ClientFrameSchema } from "../gen/chat_pb.js";

/** An unpaired surrogate, such as a cut emoji. */
const LONE_SURROGATE = /\p{Surrogate}/gu;

/** A frame as canonical proto3 JSON. An unpaired surrogate becomes U+FFFD, as in the binary
 * encoding. */
export function encodeJson(frame: ClientFrame): string {
  return JSON.stringify(toJson(ClientFrameSchema, frame), (_, value: unknown) =>
    typeof value === "string" ? value.replace(LONE_SURROGATE, "\ufffd") : value,
  );
}

/** The size of a text in UTF-8, bytes. */
export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
