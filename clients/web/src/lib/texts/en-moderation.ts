import type { ReportCategory } from "@parlance/client/reports";

import { grammar } from "./grammar";

const { number, plural, list } = grammar("en");

/** Invitations to rooms. */
export const invitations = {
  title: "Invitations",
  /** In the list of conversations. */
  one: (inviter: string, title: string) => `${inviter} invites you to ${title}`,
  several: (count: number) => plural(count, { one: "# invitation", other: "# invitations" }),
  by: (inviter: string, until: string) => `${inviter} invites you, until ${until}`,
  groupWith: (members: string) => `Group with ${members}`,
  channelWith: (members: string) => `Channel with ${members}`,
  accept: "Accept",
  acceptTo: (title: string) => `Accept the invitation to ${title}`,
  decline: "Decline",
  declineTo: (title: string) => `Decline the invitation to ${title}`,
  none: "No invitations.",
  over: "this invitation has expired or was taken back",
  /** When people are added. */
  invite: "Invite",
  askFirst: "Ask them first",
  askFirstAbout: "They join when they accept the invitation.",
  asked: (names: readonly string[]) => `${list(names)} ${names.length === 1 ? "was" : "were"} invited, and can join by accepting.`,
  /** Because the server adds nobody to a conversation of strangers. */
  askedInstead: (names: readonly string[]) => `${list(names)} ${names.length === 1 ? "does" : "do"} not know you yet, so they were invited instead of added.`,
  /** In the details of a conversation. */
  open: "Invited",
  openBy: (inviter: string) => `by ${inviter}`,
  openUntil: (inviter: string, until: string) => `by ${inviter}, until ${until}`,
  revoke: "Take back",
  revokeOf: (name: string) => `Take back the invitation of ${name}`,
};

/** Reports of messages and people. */
export const reports = {
  report: "Report",
  reportName: (name: string) => `Report ${name}`,
  ofMessage: "Report this message",
  what: "What is wrong?",
  categories: {
    none: "No category",
    spam: "Spam",
    harassment: "Harassment",
    hate: "Hate",
    violence: "Violence",
    sexual: "Sexual content",
    self_harm: "Self-harm",
    illegal: "Against the law",
    impersonation: "Impersonation",
    other: "Something else",
  } satisfies Record<ReportCategory, string>,
  words: "In your own words (optional)",
  /** Who reads a report of a message, and the words of the reporter. */
  readByAdmins: (title: string) =>
    `The owner and admins of ${title} see a copy of the message and what you write here, but not who you are. The operators of this server see all of it.`,
  readByOwner: (title: string) =>
    `The owner of ${title} sees a copy of the message and what you write here, but not who you are. The operators of this server see all of it.`,
  readByHigher: (title: string, name: string) =>
    `Those of the owner and admins of ${title} who could ban ${name} see a copy of the message and what you write here, but not who you are. The operators of this server see all of it. ${name} is not told.`,
  readByOperators: (name: string) => `Only the operators of this server see the report. ${name} is not told.`,
  bytesLeft: (count: number) => plural(count, { one: "# byte left", other: "# bytes left" }),
  bytesOver: (count: number) => plural(count, { one: "Too long by # byte", other: "Too long by # bytes" }),
  send: "Send report",
  sent: "Thank you. The report was sent.",
  alsoBlock: (name: string) => `You can also block ${name}: they can no longer write to you in private, and you no longer see what they write.`,
  done: "Done",
  /** For the owner and admins of a conversation. */
  title: (title: string) => `Reports in ${title}`,
  openCount: (count: number, hasMore: boolean) => `Reports (${number(count)}${hasMore ? "+" : ""})`,
  none: "No open reports.",
  loading: "Loading…",
  from: (name: string, time: string) => `${name}, ${time}`,
  label: (name: string) => `Report of a message from ${name}`,
  noCopy: "The message is no longer kept.",
  deleted: "The message was deleted.",
  saidAt: (category: string, time: string) => `${category}, ${time}`,
  show: "Show in the conversation",
  deleteMessage: "Delete message",
  muteName: (name: string) => `Mute ${name}`,
  banName: (name: string) => `Ban ${name}`,
  /** Which ones are shown. */
  which: "Reports",
  open: "Open",
  answeredOnes: "Answered",
  noneAnswered: "No answered reports.",
  note: "Note for other moderators (optional)",
  outcomes: {
    dismissed: (name: string, time: string) => `Dismissed by ${name}, ${time}`,
    action_taken: (name: string, time: string) => `Handled by ${name}, ${time}`,
  },
  dismiss: "Dismiss",
  dismissAbout: "Nothing is wrong",
  resolve: "Mark as handled",
  answered: "The report was answered.",
};

/** Muting somebody in a room. */
export const muting = {
  mute: "Mute",
  unmute: "Unmute",
  muted: "muted",
  title: (name: string, title: string) => `Mute ${name} in ${title}`,
  about: "They can read, but neither write nor react.",
  howLong: "For how long?",
  times: { hour: "An hour", day: "A day", week: "A week", ever: "Until somebody unmutes them" },
  reason: "Reason (optional)",
  reasonAbout: "All members see it.",
};

/** What happened in a room. */
export const moderationNotes = {
  invited: (actor: string, names: readonly string[]) => `${actor} invited ${list(names)}`,
  declined: (names: readonly string[]) => `${list(names)} declined the invitation`,
  revoked: (actor: string, names: readonly string[]) => `${actor} took back the invitation of ${list(names)}`,
  muted: (actor: string, names: readonly string[]) => `${actor} muted ${list(names)}`,
  unmuted: (actor: string, names: readonly string[]) => `${actor} unmuted ${list(names)}`,
};
