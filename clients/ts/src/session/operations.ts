import { type MessageInitShape, create } from "@bufbuild/protobuf";

import type { RefusedError } from "../errors.js";
import { type ClientFrame, ClientFrameSchema, type Reply } from "../gen/chat_pb.js";
import { withBigints, type WithNumbers } from "./numbers.js";

type Case<T> = Exclude<Extract<T, { value: unknown }> extends { case: infer C } ? C : never, undefined>;
type Operation = ClientFrame["operation"];
type OperationInit = NonNullable<MessageInitShape<typeof ClientFrameSchema>["operation"]>;

/** The name of an operation: that of a call of the contract, in camel case. */
export type OperationName = Exclude<Case<Operation>, "hello" | "refresh">;
/** The request of an operation: the non-empty fields of its message. Seqs may be numbers. */
export type RequestOf<Name extends OperationName> = WithNumbers<Extract<OperationInit, { case: Name }> extends { value: infer V } ? V : never>;
/** The response of an operation. */
export type ResponseOf<Name extends OperationName> = Extract<Reply["result"], { case: Name }> extends { value: infer V } ? V : never;

/** An operation that is ready to be sent. */
export type Asked = Exclude<Operation, { case: undefined } | { case: "hello" } | { case: "refresh" }>;

/** The fields that identify a request among those of its user, and where to search for it in the log. */
interface Repeatable {
  requestId?: string;
  clientMessageId?: string;
  afterSeq?: bigint;
}

/** The fields of each operation that make it safe to repeat. */
const FIELDS = new Map(
  ClientFrameSchema.oneofs[0]?.fields.map((field) => [
    field.localName,
    new Set(field.fieldKind === "message" ? field.message.fields.map((inner) => inner.localName) : []),
  ]),
);

/** Creates an operation with these fields. Throws a RangeError for numbers that are not integers. */
export function ask<Name extends OperationName>(name: Name, request: RequestOf<Name>): Asked {
  const init = withBigints(ClientFrameSchema, { operation: { case: name, value: request } });
  const frame = create(ClientFrameSchema, init as MessageInitShape<typeof ClientFrameSchema>);
  return frame.operation as Asked;
}

/** Whether it changes stored data: then it has an id of its own. */
export function isChange(name: string | undefined): boolean {
  const fields = FIELDS.get(name ?? "");
  return fields !== undefined && (fields.has("requestId") || fields.has("clientMessageId"));
}

/** Whether it moves a mark: marks only move forward, so only the last one matters. */
export function isMark(name: string | undefined): boolean {
  return name === "markRead" || name === "acknowledgeDelivery";
}

/** Whether it is transient: late, it would be wrong, so it is not repeated on another connection. */
export function isEphemeral(name: string | undefined): boolean {
  return name === "sendTyping";
}

/** Whether it is a change that refers to an event of its room by seq. */
export function namesEvent({ case: name, value }: Asked): boolean {
  return isChange(name) && "seq" in value;
}

/** The room of the operation, if it names one. */
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

/** Sets an id, and the known state of its room, unless they are set already. */
export function stamp(operation: Asked, id: string, head: bigint | undefined): void {
  const fields = FIELDS.get(operation.case);
  const value = operation.value as Repeatable;
  if (fields?.has("clientMessageId")) value.clientMessageId ||= id;
  else if (fields?.has("requestId")) value.requestId ||= id;
  // In requests for pages it is a bound chosen by the caller.
  if (isChange(operation.case) && fields?.has("afterSeq") && head) value.afterSeq ??= head;
}

/**
 * Whether the room was restored from a backup that is older than this operation and cannot contain it: then it is sent again
 * from the end of the room. What it names by a seq may be another event now: then it is refused.
 */
export function restamp(operation: Asked, refusal: RefusedError): boolean {
  const value = operation.value as Repeatable;
  const head = refusal.metadata["head_seq"];
  if (refusal.reason !== "cursor_ahead" || head === undefined || !isChange(operation.case) || namesEvent(operation)) return false;
  if (value.afterSeq === undefined || value.afterSeq <= BigInt(head)) return false;
  value.afterSeq = BigInt(head);
  return true;
}
