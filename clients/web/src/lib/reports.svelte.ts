import type { ChatMessage, Room } from "@parlance/client";
import { listReports, type Report, type ReportOutcome, resolveReport } from "@parlance/client/reports";

import type { Chat } from "./chat.svelte";
import { Pace } from "./pace";

/** Reports that are read at once; the rest follows once these are answered. */
const MOST = 100;
/** The signal of a new one may be lost. */
const READ_EVERY_MS = 60_000;
/** However many are made. */
const SOON_MS = 1_000;

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
  readonly #again = new Pace(SOON_MS, () => void this.load().catch(() => {}));
  readonly #off: () => void;
  #reads = 0;
  /** The message that was last reported first. */
  messages = $state.raw<readonly ReportedMessage[]>([]);
  /** Whether there are more. */
  hasMore = $state(false);
  isLoaded = $state(false);
  /** The latest of those that have been answered, once they were read. */
  answered = $state.raw<readonly ReportedMessage[]>();

  constructor(chat: Chat, room: Room) {
    [this.#chat, this.#room] = [chat, room];
    this.#timer = setInterval(() => this.#again.soon(), READ_EVERY_MS);
    this.#off = chat.client.on("signal", ({ case: name, value }) => name === "reportMade" && value.roomId === room.id && this.#again.soon());
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#again.stop();
    this.#off();
    this.#reads += 1;
  }

  async load(): Promise<void> {
    const turn = ++this.#reads;
    const { messages, hasMore } = await this.#read("open");
    // A later one is more recent.
    if (turn !== this.#reads) return;
    [this.messages, this.hasMore, this.isLoaded] = [messages, hasMore, true];
  }

  async loadAnswered(): Promise<void> {
    this.answered = (await this.#read("resolved")).messages;
  }

  /** Answers all reports of a message in the same way. */
  async resolve({ reports }: ReportedMessage, outcome: ReportOutcome, note: string): Promise<void> {
    try {
      for (const { id } of reports) await resolveReport(this.#chat.client, id, outcome, note);
    } finally {
      // What somebody else has answered meanwhile is gone, too.
      await this.load();
    }
  }

  async #read(state: "open" | "resolved"): Promise<{ messages: readonly ReportedMessage[]; hasMore: boolean }> {
    const bySeq = new Map<number, Report[]>();
    let count = 0;
    for await (const report of listReports(this.#chat.client, { roomId: this.#room.id, state })) {
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
