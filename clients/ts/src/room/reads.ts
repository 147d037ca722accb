import type { Event } from "../gen/chat_pb.js";
import type { MessageChanges } from "../state/changes.js";
import type { MemberInput } from "../state/inputs.js";
import type { Owner } from "./owner.js";
import type { Shared } from "./shared.js";
import type { Source } from "./source.js";

const PAGE = 200;

/** Reads a room with calls; answers are applied as of the epoch of the request. */
export class RoomReads implements Source {
  readonly shared: Shared;
  readonly #client: Owner;
  readonly #roomId: string;

  constructor(client: Owner, roomId: string, shared: Shared) {
    [this.#client, this.#roomId, this.shared] = [client, roomId, shared];
  }

  readonly listMessages: Source["listMessages"] = ({ beforeSeq, afterSeq, pageSize }) => {
    const bounds = { beforeSeq: BigInt(beforeSeq ?? 0), afterSeq: afterSeq === undefined ? undefined : BigInt(afterSeq) };
    return this.#history(this.#client.call("listMessages", { roomId: this.#roomId, ...bounds, pageSize }), ({ messages }) => messages);
  };

  readonly listEvents: Source["listEvents"] = ({ fromSeq, toSeq, pageSize }) => {
    const bounds = { fromSeq: BigInt(fromSeq), toSeq: BigInt(toSeq) };
    return this.#history(this.#client.call("listEvents", { roomId: this.#roomId, ...bounds, pageSize }), ({ events }) => events);
  };

  readonly changesOf = (seq: number): MessageChanges | undefined => this.#client.stateOf(this.#roomId).changes.get(seq);

  async message(seq: number): Promise<Event | undefined> {
    return (await this.#client.call("getMessage", { roomId: this.#roomId, seq: BigInt(seq) })).message;
  }

  /** All members. Changes that a list lacks may have been dropped before it was applied: then another one is read. */
  async members(): Promise<void> {
    await this.#listMembers();
    const { listedSeq, missingTo } = this.#client.stateOf(this.#roomId).members;
    if (listedSeq < missingTo) await this.#listMembers();
  }

  async #listMembers(): Promise<void> {
    const roomId = this.#roomId;
    const { head, streamEpoch } = this.#client.stateOf(roomId);
    const members: MemberInput[] = [];
    const { endOf, pages } = this.shared;
    for await (const page of pages((pageToken) => this.#client.call("listMembers", { roomId, pageSize: PAGE, pageToken }))) {
      members.push(...page.members.map(({ userId, role, active, mute }) => ({ userId, role, isMember: active, silencedUntil: endOf(mute) })));
    }
    this.#client.apply({ type: "members", roomId, members, seq: head.seq, epoch: streamEpoch });
  }

  /** How far other members have read. */
  async receipts(): Promise<void> {
    const roomId = this.#roomId;
    try {
      let epoch = 0;
      const { pages, receiptOf } = this.shared;
      const ask = (pageToken: string) => {
        epoch = this.#client.stateOf(roomId).streamEpoch;
        return this.#client.call("listReceipts", { roomId, pageSize: PAGE, pageToken });
      };
      for await (const { receipts } of pages(ask)) this.#client.apply({ type: "receipts", roomId, receipts: receipts.map(receiptOf), epoch });
    } catch {
      // No longer a member, or closed.
    }
  }

  async #history<Page>(asked: Promise<Page>, eventsOf: (page: Page) => readonly Event[]): Promise<Page> {
    const roomId = this.#roomId;
    const epoch = this.#client.stateOf(roomId).streamEpoch;
    const page = await asked;
    this.#client.apply({ type: "history", roomId, events: eventsOf(page), epoch });
    return page;
  }
}
