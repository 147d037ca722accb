import { grammar } from "./grammar";

const { number, plural, list } = grammar("en");

/** Links by which people join. */
export const links = {
  title: (title: string) => `Links to join ${title}`,
  manage: "Links to join",
  about: "Whoever has a link can join, without being asked or approved.",
  lasts: "Valid for",
  times: { day: "A day", week: "A week", month: "30 days" },
  uses: "Can be used",
  anyUses: "By any number of people",
  someUses: (count: number) => plural(count, { one: "Once", other: "By # people" }),
  create: "Make a link",
  made: "The new link. Copy it now: it is not shown again.",
  label: "Link",
  copy: "Copy",
  copied: "Copied",
  current: "Links in use",
  none: "No links so far.",
  by: (name: string, until: string) => `by ${name}, until ${until}`,
  madeAt: (at: string) => `made ${at}`,
  used: (uses: number, most: number) => (most === Infinity ? plural(uses, { one: "# joined", other: "# joined" }) : `${number(uses)} of ${number(most)} joined`),
  suspended: "Not usable: who made it may not invite at present",
  revoke: "Take back",
  revokeOf: (name: string, at: string) => `Take back the link of ${name}, made ${at}`,
  /** At a link. */
  groupWith: (members: string) => `Group with ${members}`,
  join: "Join",
  joinName: (title: string) => `Join ${title}`,
  invalid: "This link is no longer valid: it has expired, was used up or was taken back.",
  removed: "You were removed from this conversation: ask its members to add you.",
  archived: "This conversation is archived or frozen: nobody can join it for now.",
};

/** Asking to join. */
export const joining = {
  label: "Who can join",
  open: "Everyone",
  byRequest: "Everyone can ask to join",
  byInvitation: "Only people who are added or invited",
  ask: "Ask to join",
  askName: (title: string) => `Ask to join ${title}`,
  about: "You become a member once somebody in the conversation approves.",
  note: "A note to those who answer (optional)",
  waiting: (until: string) => `You have asked to join. Your request waits until ${until}.`,
  withdraw: "Withdraw the request",
  rejected: (until: string) => `Your request was rejected. You can ask again from ${until}.`,
  withdrawn: (until: string) => `You have asked and withdrawn that several times. You can ask again from ${until}.`,
  mayAsk: "You are not in this conversation. If it takes requests, you can ask to join.",
  /** What was offered is no longer so. */
  takesRequest: "Joining takes a request by now.",
  notOpen: "This channel is joined only by people who are added or invited.",
  notByRequest: "This conversation takes no requests.",
  requests: "Asking to join",
  approve: "Approve",
  approveOf: (name: string) => `Approve the request of ${name}`,
  reject: "Reject",
  rejectOf: (name: string) => `Reject the request of ${name}`,
};

/** What happened in a room. */
export const joiningNotes = {
  linkMade: (actor: string) => `${actor} made a link to join`,
  linkRevoked: (actor: string) => `${actor} took back a link to join`,
  joinedByLink: (names: readonly string[]) => `${list(names)} joined by a link`,
  asked: (names: readonly string[]) => `${list(names)} ${names.length === 1 ? "asks" : "ask"} to join`,
  withdrew: (names: readonly string[]) => `${list(names)} no longer ${names.length === 1 ? "asks" : "ask"} to join`,
  rejected: (actor: string, names: readonly string[]) => `${actor} rejected the request of ${list(names)}`,
};
