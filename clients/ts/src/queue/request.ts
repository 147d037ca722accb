import { create, fromBinary, fromJson, type JsonObject, toBinary, toJson } from "@bufbuild/protobuf";

import { ClientFrameSchema, type Reply, ReplySchema } from "../gen/chat_pb.js";
import { type Asked, ask, type OperationName, type RequestOf, roomOf, stamp } from "../session/operations.js";
import type { Command, NewCommand } from "./command.js";

/** The answer to a command: the response message of its operation. */
export type Answer = Exclude<Reply["result"], { case: undefined } | { case: "error" }>;

/** The operation of the contract for a command, with its id and the recorded state of its room. */
export function operationOf(command: Command): Asked {
  const operation = bare(command);
  stamp(operation, command.id, command.afterSeq === undefined ? undefined : BigInt(command.afterSeq));
  return operation;
}

/** The operations whose request is the payload and the room. */
const OPERATIONS = {
  edit: "editMessage",
  delete: "deleteMessage",
  react: "addReaction",
  unreact: "removeReaction",
  markRead: "markRead",
  hide: "setRoomHidden",
  join: "joinRoom",
  leave: "leaveRoom",
} as const;

function bare({ kind, payload, roomId = "", toUser = "" }: Command): Asked {
  if (kind === "send") {
    const target = roomId ? ({ case: "roomId", value: roomId } as const) : ({ case: "toUser", value: toUser } as const);
    return ask("sendMessage", { target, ...payload });
  }
  if (kind !== "change") return ask(OPERATIONS[kind], { roomId, ...payload } as RequestOf<"editMessage">);
  const frame: JsonObject = { [payload.operation]: payload.request };
  return fromJson(ClientFrameSchema, frame, { ignoreUnknownFields: true }).operation as Asked;
}

/** The command for any change of the contract. */
export function changeOf<Name extends OperationName>(name: Name, request: RequestOf<Name>): NewCommand {
  const operation = ask(name, request);
  const frame = toJson(ClientFrameSchema, create(ClientFrameSchema, { operation })) as JsonObject;
  const roomId = roomOf(operation);
  return { kind: "change", payload: { operation: name, request: frame[name] ?? {} }, ...(roomId !== "" && { roomId }) };
}

/** The event named by an answer; undefined if the change is not in the log. */
export function eventOf({ value }: Answer): { roomId?: string; seq: number } | undefined {
  if ("outcome" in value && value.outcome) {
    const seq = Number(value.outcome.lastSeq || value.outcome.seq);
    return seq ? { seq } : undefined;
  }
  if ("messageCount" in value && "seq" in value) return { roomId: value.roomId, seq: Number(value.seq) };
  return undefined;
}

/** An answer in the form sent between tabs. */
export function encodeAnswer(answer: Answer): Uint8Array {
  return toBinary(ReplySchema, create(ReplySchema, { result: answer }));
}

export function decodeAnswer(bytes: Uint8Array): Answer {
  return fromBinary(ReplySchema, bytes).result as Answer;
}
