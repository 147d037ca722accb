import { grammar } from "./grammar";

const { number, plural } = grammar("en");

/** The directory of channels. */
export const directory = {
  browse: "Browse channels",
  title: "Channels",
  search: "How the title begins",
  none: "No channel with such a title.",
  empty: "There are no channels in the directory yet.",
  loading: "Loading…",
  found: (count: number, hasMore: boolean) => plural(count, { one: "# channel", other: hasMore ? "# channels, and more" : "# channels" }),
  /** Of many members, the first two digits are known. */
  members: (count: number) => (count > 99 ? `about ${number(count)} members` : plural(count, { one: "# member", other: "# members" })),
  join: "Join",
  joinName: (title: string) => `Join ${title}`,
  open: "Open",
  openName: (title: string) => `Open ${title}`,
  byInvitation: "by invitation",
  more: "More",
  tryAgain: "Try again",
  /** In the settings of a channel. */
  listed: "In the directory",
  listedAbout: "Everyone finds this channel.",
};

/** Archived conversations. */
export const archive = {
  title: "Archived",
  count: (count: number) => `Archived (${number(count)})`,
  /** Beside a conversation that was found. */
  aside: "archived",
  archive: "Archive",
  unarchive: "Unarchive",
  ask: (title: string) => `Archive ${title}? Everyone can still read it. Nobody can write, react or join until it is unarchived.`,
  lastAt: (time: string) => `last message ${time}`,
};

/** Freezing a conversation. */
export const freezing = {
  freeze: "Freeze",
  unfreeze: "Unfreeze",
  ask: (title: string) => `Freeze ${title}? It stays where it is, and everyone can still read it. Nobody can write, react or join until it is unfrozen.`,
};

/** What members read of the time before them. */
export const history = {
  label: "New members read",
  all: "Everything from the beginning",
  sinceJoined: "What is sent after they joined",
};

const lasting = (seconds: number): string => {
  if (seconds % 3_600 === 0) return plural(seconds / 3_600, { one: "# hour", other: "# hours" });
  if (seconds % 60 === 0) return plural(seconds / 60, { one: "# minute", other: "# minutes" });
  return plural(seconds, { one: "# second", other: "# seconds" });
};

/** What members may do, and how often. */
export const rules = {
  manage: "What members may do",
  title: (title: string) => `What members may do in ${title}`,
  slowMode: "Slow mode",
  slowModeAbout: "How long a member waits between two messages. Owner and admins do not wait.",
  off: "Off",
  lasting,
  who: {
    post: "Who writes messages",
    react: "Who reacts to messages",
    invite: "Who adds and invites people",
    editSettings: "Who changes the settings",
    deleteMessages: "Who deletes messages of others",
    mentionAll: "Who mentions everyone, by @all",
  },
  members: "All members",
  admins: "Owner and admins",
  owner: "Only the owner",
  usual: (who: string) => `As usual: ${who.charAt(0).toLowerCase()}${who.slice(1)}`,
};

/** Why there is no field to write in. */
export const readOnly = {
  archived: "This conversation is archived: it can only be read.",
  /** For those who are not in it. */
  archivedToOthers: "This channel is archived: nobody can join it for now.",
  frozen: "This conversation is frozen: nobody can write for now.",
  admins: "Only the owner and admins write here.",
  owner: "Only the owner writes here.",
};

/** What happened in a room. */
export const settingsNotes = {
  archived: (actor: string) => `${actor} archived the conversation`,
  unarchived: (actor: string) => `${actor} unarchived the conversation`,
  frozen: (actor: string) => `${actor} froze the conversation`,
  unfrozen: (actor: string) => `${actor} unfroze the conversation`,
  slow: (actor: string, seconds: number) => (seconds === 0 ? `${actor} turned slow mode off` : `${actor} turned slow mode on: ${lasting(seconds)} between two messages`),
  history: (actor: string, isOpen: boolean) => (isOpen ? `${actor} lets new members read everything from the beginning` : `${actor} lets new members read only what is sent after they joined`),
  permissions: (actor: string) => `${actor} changed what members may do`,
};
