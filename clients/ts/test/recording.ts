import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";

import { type Connection, type Transport, v1 } from "../src/index.js";
import { receiptOf } from "../src/room/info.js";
import { messageOf } from "../src/room/message.js";
import type { Input } from "../src/state/inputs.js";
import { endOf } from "../src/state/until.js";
import { fields } from "./reader.js";

/** The frames of a client and a server, one per line, and at the end the server's rooms. */
export type Line = { connected: true } | { out: JsonValue } | { in: JsonValue } | { truth: Truth };

/** The server's rooms, as canonical JSON of its answers. */
export interface Truth {
  userId: string;
  rooms: { entry: JsonValue; messages: JsonValue[]; members: JsonValue[] }[];
}

/** Records the frames of another transport. */
export class Recorder implements Transport {
  readonly lines: Line[] = [];

  constructor(readonly transport: Transport) {}

  async open(token: string, hello: v1.Hello, signal: AbortSignal): Promise<Connection> {
    const { lines } = this;
    const connection = await this.transport.open(token, hello, signal);
    lines.push({ connected: true });
    async function* frames() {
      for await (const frame of connection.frames) {
        lines.push({ in: toJson(v1.ServerFrameSchema, frame) });
        yield frame;
      }
    }
    return {
      send(frame) {
        lines.push({ out: toJson(v1.ClientFrameSchema, frame) });
        connection.send(frame);
      },
      frames: frames(),
      close: () => connection.close(),
    };
  }
}

/** The inputs of a recording by source: those of one source keep their order. */
export interface Sources {
  userId: string;
  /** Welcomes, events and gaps. */
  stream: Input[];
  /** Everything else: signals, and answers to calls. */
  others: Input[];
  truth: Truth;
}

export function sourcesOf(lines: readonly Line[]): Sources {
  const truth = lines.flatMap((line) => ("truth" in line ? [line.truth] : []))[0]!;
  const [stream, others]: [Input[], Input[]] = [[], []];
  const asked = new Map<string, { frame: v1.ClientFrame; order: number; head: number }>();
  const heads = new Map<string, number>();
  const members = new Map<string, v1.Member[]>();
  const roomOf = ({ operation: { value } }: v1.ClientFrame) => (value && "roomId" in value && typeof value.roomId === "string" ? value.roomId : "");
  lines.forEach((line, order) => {
    if ("connected" in line) asked.clear();
    if ("out" in line) {
      const frame = fromJson(v1.ClientFrameSchema, line.out);
      asked.set(frame.requestId, { frame, order, head: heads.get(roomOf(frame)) ?? 0 });
    }
    if (!("in" in line)) return;
    const { frame } = fromJson(v1.ServerFrameSchema, line.in);
    switch (frame.case) {
      case "welcome":
        return void stream.push({ type: "welcome", userId: truth.userId, heads: frame.value.heads.map(({ roomId, seq, epoch }) => ({ roomId, seq: Number(seq), epoch: Number(epoch) })) });
      case "event":
        heads.set(frame.value.roomId, Number(frame.value.seq));
        return void stream.push({ type: "event", roomId: frame.value.roomId, event: frame.value });
      case "gap":
        heads.set(frame.value.roomId, Number(frame.value.toSeq));
        return void stream.push({ type: "gap", roomId: frame.value.roomId, gap: frame.value });
      case "signal": {
        const { signal } = frame.value;
        if (signal.case === "presence") others.push({ type: "presence", ...signal.value, order });
        if (signal.case === "roomHidden") others.push({ type: "hidden", ...signal.value, order });
        if (signal.case !== "receipt") return;
        const { roomId, userId, readSeq, messageCount } = signal.value;
        if (userId !== truth.userId) others.push({ type: "receipts", roomId, receipts: [receiptOf(signal.value)] });
        else if (readSeq > 0n) others.push({ type: "read", roomId, mark: { seq: Number(readSeq), messageCount: messageCount === undefined ? undefined : Number(messageCount) } });
        return;
      }
      case "reply": {
        const question = asked.get(frame.value.requestId);
        if (!question) return;
        const [roomId, { result }] = [roomOf(question.frame), frame.value];
        const epoch = 0;
        if (result.case === "listInbox") {
          for (const entry of result.value.entries) others.push({ type: "inbox", roomId: entry.room!.roomId, entry, order: question.order });
        } else if (result.case === "listMessages") others.push({ type: "history", roomId, events: result.value.messages, epoch });
        else if (result.case === "listEvents") others.push({ type: "history", roomId, events: result.value.events, epoch });
        else if (result.case === "listReceipts") others.push({ type: "receipts", roomId, receipts: result.value.receipts.map(receiptOf), epoch });
        else if (result.case === "listMembers") {
          const all = [...(members.get(roomId) ?? []), ...result.value.members];
          members.set(roomId, result.value.nextPageToken ? all : []);
          if (!result.value.nextPageToken) others.push({ type: "members", roomId, members: all.map((member) => ({ ...member, isMember: member.active, silencedUntil: endOf(member.mute) })), seq: question.head, epoch });
        } else if (result.case === "markRead" && result.value.read) {
          const { seq, messageCount } = result.value.read;
          others.push({ type: "read", roomId, mark: { seq: Number(seq), messageCount: Number(messageCount) } });
        }
      }
    }
  });
  return { userId: truth.userId, stream, others, truth };
}

/** A room as on its server. */
export function trueRoom({ entry: json, messages, members }: Truth["rooms"][number]) {
  const { room, membership, unreadCount, read, hidden } = fromJson(v1.InboxEntrySchema, json);
  const forms = messages.map((message) => fromJson(v1.EventSchema, message));
  return {
    roomId: room!.roomId,
    messages: forms.flatMap((event) => (event.body.case === "message" ? [fields(messageOf(event, event.body.value))] : [])),
    view: {
      title: room!.settings!.title,
      isArchived: room!.settings!.archived,
      memberCount: Number(room!.memberCount),
      role: membership!.role,
      silencedUntil: endOf(membership!.mute),
      isMember: membership!.active,
      headSeq: Number(room!.headSeq),
      messageCount: Number(room!.messageCount),
      readSeq: Number(read?.seq ?? 0),
      unreadCount: Number(unreadCount),
      isHidden: hidden,
      members: Object.fromEntries(members.map((member) => fromJson(v1.MemberSchema, member)).filter(({ active }) => active).map(({ userId, role }) => [userId, role] as const).sort()),
      silenced: Object.fromEntries(members.map((member) => fromJson(v1.MemberSchema, member)).filter(({ active }) => active).map(({ userId, mute }) => [userId, endOf(mute)] as const).sort()),
    },
  };
}
