import { type ChatMessage, RefusedError, type Room } from "@parlance/client";
import { listReports, type Report, type ReportOutcome, resolveReport } from "@parlance/client/reports";

import type { Chat } from "./chat.svelte";
import { tryEach } from "./form.svelte";
import { Refresh } from "./refresh";

/** Reports that are read at once; the rest follows once these are answered. */
const MOST = 100;
/** The signal of a new one may be lost. */
const READ_EVERY_MS = 60_000;

/** Reports of one message. */
export interface ReportedMessage {
  readonly seq: number;
  readonly userId: string;
  /** As it was when it was last reported. */
  readonly message: ChatMessage | undefined;
  /** Latest first. */
  readonly reports: readonly Report[];
}

/** Reports of messages in a room, for its owner and admins: open ones, and answered ones once they are asked for. */
export class Reports {
  readonly #chat: Chat;
  readonly #room: Room;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #open: Refresh;
  readonly #off: () => void;
  /** The message that was last reported first. */
  messages = $state.raw<readonly ReportedMessage[]>([]);
  /** Whether there are more. */
  hasMore = $state(false);
  isLoaded = $state(false);
  /** The latest of those that have been answered, once they were read. */
  answered = $state.raw<readonly ReportedMessage[]>();

  constructor(chat: Chat, room: Room) {
    [this.#chat, this.#room] = [chat, room];
    this.#open = new Refresh(chat.client, async (signal) => {
      const { messages, hasMore } = await this.#read("open", signal);
      [this.messages, this.hasMore, this.isLoaded] = [messages, hasMore, true];
    });
    this.#timer = setInterval(() => this.#open.soon(), READ_EVERY_MS);
    this.#off = chat.client.on("signal", ({ case: name, value }) => name === "reportMade" && value.roomId === room.id && this.#open.soon());
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#open.stop();
    this.#off();
  }

  load(): Promise<void> {
    return this.#open.now();
  }

  async loadAnswered(): Promise<void> {
    this.answered = (await this.#read("resolved")).messages;
  }

  /** Answers all reports of a message in the same way. */
  async resolve({ reports }: ReportedMessage, outcome: ReportOutcome, note: string): Promise<void> {
    const failed = await tryEach(reports, ({ id }) => resolveReport(this.#chat.client, id, outcome, note));
    // What somebody else has answered meanwhile is gone, too.
    await this.load();
    const other = failed.find(({ error }) => !(error instanceof RefusedError && error.reason === "report_resolved"));
    if (other) throw other.error;
  }

  async #read(state: "open" | "resolved", signal?: AbortSignal): Promise<{ messages: readonly ReportedMessage[]; hasMore: boolean }> {
    const bySeq = new Map<number, Report[]>();
    let count = 0;
    for await (const report of listReports(this.#chat.client, { roomId: this.#room.id, state, ...(signal && { signal }) })) {
      if (++count > MOST) break;
      const { seq = 0 } = report;
      const others = bySeq.get(seq);
      if (others) others.push(report);
      else bySeq.set(seq, [report]);
    }
    const messages = [...bySeq].map(([seq, reports]) => ({ seq, userId: reports[0]!.userId, message: reports[0]!.message, reports }));
    return { messages, hasMore: count > MOST };
  }
}
