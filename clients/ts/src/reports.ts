/**
 * Reports of messages and users, for those who make them and those who moderate.
 *
 * @module
 */
import type { Client } from "./client/client.js";
import { type Report as ReportMessage, ReportOutcome as Outcome, ReportState } from "./gen/chat_pb.js";
import { type ChatMessage, date, messageOf } from "./room/message.js";
import { pages } from "./session/pages.js";

const PAGE = 50;

/** By number in the contract. */
const CATEGORIES = ["none", "spam", "harassment", "hate", "violence", "sexual", "self_harm", "illegal", "impersonation", "other"] as const;

/** What is wrong, in the reporter's eyes; `none` if they have not said. */
export type ReportCategory = (typeof CATEGORIES)[number];

/** How a report was answered. */
export type ReportOutcome = "dismissed" | "action_taken";

/** What a reporter says. */
export interface NewReport {
  category?: ReportCategory;
  /** In their own words, at most 1,024 bytes. Whoever sees the report reads them. */
  text?: string;
}

/** A report of a message, or of a user as such. */
export interface Report {
  readonly id: string;
  readonly at: Date;
  readonly category: ReportCategory;
  /** The reporter's own words. */
  readonly text: string;
  /** Who made it; empty for everyone but the app. */
  readonly reporterId: string;
  /** Who is reported. */
  readonly userId: string;
  /** The room of the message; empty if a user as such is reported. */
  readonly roomId: string;
  /** The reported message; undefined if a user as such is reported. */
  readonly seq: number | undefined;
  /** The message as it was when it was reported, if it is still kept. */
  readonly message: ChatMessage | undefined;
  /** The answer; undefined while the report is open. */
  readonly resolution: ReportResolution | undefined;
}

/** The answer to a report. */
export interface ReportResolution {
  readonly at: Date;
  readonly userId: string;
  readonly outcome: ReportOutcome;
  /** For other moderators. */
  readonly note: string;
}

/** Reports a message to the owner and admins of its room, who do not learn who reports, and to the app, which does. */
export async function reportMessage(client: Client, { roomId, seq }: { roomId: string; seq: number | undefined }, report: NewReport = {}): Promise<void> {
  await client.change("reportMessage", { roomId, seq: seq ?? 0, ...requested(report) });
}

/** Reports a user to the app, and to nobody else. */
export async function reportUser(client: Client, userId: string, report: NewReport = {}): Promise<void> {
  await client.change("reportUser", { userId, ...requested(report) });
}

/** Which reports are listed. */
export interface ReportsOptions {
  /** Those of messages in this room, for its owner and admins. Default: all reports, for the app. */
  roomId?: string;
  /** Default: `open`. */
  state?: "open" | "resolved";
  signal?: AbortSignal;
}

/** Reports, latest first, read page by page as the loop goes on. */
export async function* listReports(client: Client, { roomId = "", state = "open", signal }: ReportsOptions = {}): AsyncGenerator<Report, void> {
  const request = { roomId, state: state === "open" ? ReportState.OPEN : ReportState.RESOLVED, pageSize: PAGE };
  for await (const { reports } of pages((pageToken) => client.call("listReports", { ...request, pageToken }, signal))) yield* reports.map(reportOf);
}

/**
 * Answers a report: it leaves the list of open ones, and nothing else changes. Rejects with the reason `report_resolved` if somebody else
 * has answered it differently.
 */
export async function resolveReport(client: Client, reportId: string, outcome: ReportOutcome, note = ""): Promise<void> {
  await client.change("resolveReport", { reportId, outcome: outcome === "dismissed" ? Outcome.DISMISSED : Outcome.ACTION_TAKEN, note });
}

function requested({ category = "none", text = "" }: NewReport) {
  return { category: CATEGORIES.indexOf(category), text };
}

function reportOf({ reportId: id, at, category, text, reporterId, userId, roomId, seq, message, resolution }: ReportMessage): Report {
  return Object.freeze({
    id,
    at: date(at),
    // Of a later version.
    category: CATEGORIES[category] ?? "other",
    text,
    reporterId,
    userId,
    roomId,
    seq: seq === 0n ? undefined : Number(seq),
    message: message?.body.case === "message" ? messageOf(message, message.body.value) : undefined,
    resolution: resolution && {
      at: date(resolution.at),
      userId: resolution.userId,
      outcome: resolution.outcome === Outcome.DISMISSED ? ("dismissed" as const) : ("action_taken" as const),
      note: resolution.note,
    },
  });
}
