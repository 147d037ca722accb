import { type MessageInitShape, create } from "@bufbuild/protobuf";

import type { RefusedError } from "../errors.js";
import { type ClientFrame, ClientFrameSchema, type Reply } from "../gen/chat_pb.js";
import { withBigints, type WithNumbers } from "./numbers.js";

type Case<T> = Exclude<Extract<T, { value: unknown }> extends { case: infer C } ? C : never, undefined>;
type Operation = ClientFrame["operation"];
type OperationInit = NonNullable<MessageInitShape<typeof ClientFrameSchema>["operation"]>;

/** The name of an operation: of a call of the contract, in camel case. */
export type OperationName = Exclude<Case<Operation>, "hello">;
/** What an operation is asked with: the fields of its request message, as far as they are not empty. Seqs may be numbers. */
export type RequestOf<Name extends OperationName> = WithNumbers<Extract<OperationInit, { case: Name }> extends { value: infer V } ? V : never>;
/** What an operation is answered with. */
export type ResponseOf<Name extends OperationName> = Extract<Reply["result"], { case: Name }> extends { value: infer V } ? V : never;

/** An operation that is ready to be sent. */
export type Asked = Exclude<Operation, { case: undefined } | { case: "hello" }>;

/** What names a request among those of its user, and where it looks for itself in the log. */
interface Repeatable {
  requestId?: string;
  clientMessageId?: string;
  afterSeq?: bigint;
}

/** Those of the fields of an operation that make it safe to repeat. */
const FIELDS = new Map(
  ClientFrameSchema.oneofs[0]?.fields.map((field) => [
    field.localName,
    new Set(field.fieldKind === "message" ? field.message.fields.map((inner) => inner.localName) : []),
  ]),
);

/** An operation with these fields. Throws a RangeError for numbers that are no integers. */
export function ask<Name extends OperationName>(name: Name, request: RequestOf<Name>): Asked {
  const init = withBigints(ClientFrameSchema, { operation: { case: name, value: request } });
  const frame = create(ClientFrameSchema, init as MessageInitShape<typeof ClientFrameSchema>);
  return frame.operation as Asked;
}

/** Whether it changes something that is kept: then it has an id of its own. */
export function isChange(name: string | undefined): boolean {
  const fields = FIELDS.get(name ?? "");
  return fields !== undefined && (fields.has("requestId") || fields.has("clientMessageId"));
}

/** Whether it moves a mark: marks only move forward, so only the last one counts. */
export function isMark(name: string | undefined): boolean {
  return name === "markRead" || name === "acknowledgeDelivery";
}

/** Whether it is of the moment: late it would be wrong, so it is not repeated on another connection. */
export function isEphemeral(name: string | undefined): boolean {
  return name === "sendTyping";
}

/** The room that it is about, where it names one. */
export function roomOf(operation: Asked): string {
  const value = operation.value as { roomId?: string };
  if (operation.case === "sendMessage") return operation.value.target.case === "roomId" ? operation.value.target.value : "";
  return value.roomId ?? "";
}

/** The id that makes it safe to repeat. */
export function idOf(operation: Asked): string {
  const value = operation.value as Repeatable;
  return value.clientMessageId ?? value.requestId ?? "";
}

/** Gives it an id, and says what was known of its room, unless that was said before. */
export function stamp(operation: Asked, id: string, head: bigint | undefined): void {
  const fields = FIELDS.get(operation.case);
  const value = operation.value as Repeatable;
  if (fields?.has("clientMessageId")) value.clientMessageId ||= id;
  else if (fields?.has("requestId")) value.requestId ||= id;
  // In requests for pages it is a bound that the caller chose.
  if (isChange(operation.case) && fields?.has("afterSeq") && head) value.afterSeq ??= head;
}

/**
 * The room was restored from a backup that is older than this operation, and cannot hold it: it may go out again from the
 * end of what there is. Returns whether that is so.
 */
export function restamp(operation: Asked, refusal: RefusedError): boolean {
  const value = operation.value as Repeatable;
  const head = refusal.metadata["head_seq"];
  if (refusal.reason !== "cursor_ahead" || head === undefined || !isChange(operation.case)) return false;
  if (value.afterSeq === undefined || value.afterSeq <= BigInt(head)) return false;
  value.afterSeq = BigInt(head);
  return true;
}
