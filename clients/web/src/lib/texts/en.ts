import type { MessageState, PendingChange } from "@parlance/client";

import { grammar } from "./grammar";

const { number, plural, list } = grammar("en");

const members = (count: number) => plural(count, { one: "# member", other: "# members" });

/** All texts of the app, in English. Names and titles are passed in display form. */
export const en = {
  app: {
    name: "Parlance",
    titleWithUnread: (count: number) => `(${count > 999 ? "999+" : number(count)}) Parlance`,
    signedOut: "You were signed out: the token is no longer valid.",
    problem: (what: string, why: string) => `${what}: ${why}`,
    /** The room in which everyone meets in local mode. */
    lobby: "Lobby",
  },

  signIn: {
    yourName: "Your name",
    start: "Start chatting",
    token: "Token",
    keep: "Stay signed in on this device",
    signIn: "Sign in",
    withToken: "Sign in with a token",
    withName: "Sign in with a name",
    secondTab: "To try it on your own, open a second tab: it acts as a second person.",
    tokenWanted: "This server requires a token: get one from your team's sign-in page.",
    asking: "Connecting to the server…",
    nameMissing: "Please enter a name.",
    nameOfLobby: "That is the name of the lobby. Please choose another one.",
    noToken: "That is not a token: a token has three parts separated by dots.",
    unreachable: "The server cannot be reached.",
    answered: (status: number) => `the server answered ${status}`,
  },

  connection: {
    online: "Online",
    connected: "Connected",
    connecting: "Connecting…",
    none: "No connection",
    noNetwork: "Offline: no network",
    retrying: "Offline, trying again",
    retryingIn: (seconds: number) => `Offline, trying again in ${number(seconds)} s`,
    closed: (why: string) => `Closed: ${why}`,
    signedOut: "signed out",
    offlineBanner: "No connection. Your messages are sent when it is back.",
    /** If the browser keeps nothing across a reload. */
    offlineBannerOfPage: "No connection. Your messages are sent when it is back, if this page stays open.",
    closedBanner: "The connection is closed. Reload the page.",
  },

  people: {
    online: "online",
    offline: "offline",
    members,
    membersAndTopic: (count: number, topic: string) => `${members(count)} · ${topic}`,
    you: (name: string) => `${name} (you)`,
    names: list,
    /** Several people with the same name are shown with their ids. */
    nameAndId: (name: string, userId: string) => (userId ? `${name} (${userId})` : name),
    admin: "Admin",
    owner: "Owner",
    isTyping: (names: readonly string[]) => `${list(names)} ${names.length === 1 ? "is" : "are"} typing…`,
    severalTyping: "Several people are typing…",
  },

  place: {
    choose: "Choose a conversation or start a new one.",
    connecting: "Connecting…",
    untitled: "Untitled",
    unknownPeer: "…",
    notYours: "This conversation does not exist, or you do not have access to it.",
    toConversations: "To your conversations",
    channelWith: (count: number) => `Channel with ${members(count)}`,
    join: "Join",
    beginning: (name: string) => `This is the beginning of your conversation with ${name}.`,
    back: "Back to conversations",
    details: "Details",
  },

  timeline: {
    notLoaded: "The messages could not be loaded.",
    label: "Messages",
    empty: "No messages yet.",
    jumpToUnread: "Jump to unread",
    loading: "Loading…",
    newCount: (count: number) => `${count} new`,
    latest: "Latest",
    newLine: "New",
    saysNow: (name: string, text: string) => `${name}: ${text}`,
    refused: (why: string, text: string) => `Not sent: ${why}: ${text}`,
  },

  message: {
    label: (name: string, time: string) => `${name}, ${time}`,
    toolbar: "Message",
    deleted: "message deleted",
    edited: "(edited)",
    showMore: "Show more",
    showLess: "Show less",
    notSent: (why: string) => `Not sent: ${why}`,
    tryAgain: "Try again",
    edit: "Edit",
    discard: "Discard",
    react: "React",
    reply: "Reply",
    more: "More",
    copy: "Copy text",
    delete: "Delete",
    deleteForEveryone: "Delete this message for everyone?",
    replyingTo: "Replying to",
    earlier: "an earlier message",
    saving: "Saving…",
    /** A rejected change; the reason follows. */
    notChanged: {
      edit: (why: string) => `Change not saved: ${why}`,
      delete: (why: string) => `Not deleted: ${why}`,
      react: (why: string) => `Reaction not saved: ${why}`,
      unreact: (why: string) => `Reaction not removed: ${why}`,
    } satisfies Record<PendingChange["kind"], (why: string) => string>,
    /** A rejected change in a conversation that is not open. */
    notSentIn: (title: string, why: string) => `Not sent in ${title}: ${why}`,
    reaction: (emoji: string, count: number, names: string) => `${emoji} ${number(count)}, ${names}`,
    states: {
      sending: "Sending",
      failed: "Not sent",
      sent: "Sent",
      delivered: "Delivered",
      read: "Read",
    } satisfies Record<MessageState, string>,
    readBy: (names: readonly string[]) => `Read by ${list(names)}`,
  },

  /** What happened in a room beside its messages. */
  notes: {
    created: (actor: string) => `${actor} created the conversation`,
    changed: (actor: string, title: string) => `${actor} changed title or topic of “${title}”`,
    joined: (names: readonly string[]) => `${list(names)} joined`,
    added: (actor: string, names: readonly string[]) => `${actor} added ${list(names)}`,
    left: (names: readonly string[]) => `${list(names)} left`,
    removed: (actor: string, names: readonly string[]) => `${actor} removed ${list(names)}`,
    madeOwner: (actor: string, names: readonly string[]) => `${actor} made ${list(names)} the owner`,
    madeAdmin: (actor: string, names: readonly string[]) =>
      `${actor} made ${list(names)} ${names.length === 1 ? "an admin" : "admins"}`,
    madeMember: (actor: string, names: readonly string[]) =>
      `${actor} made ${list(names)} ${names.length === 1 ? "a member" : "members"} again`,
    banned: (actor: string, names: readonly string[]) => `${actor} banned ${list(names)}`,
    unbanned: (actor: string, names: readonly string[]) => `${actor} lifted the ban of ${list(names)}`,
    /** Replaces names if there are too many. */
    others: (count: number) => plural(count, { one: "# other", other: "# others" }),
    more: (count: number) => plural(count, { one: "# more change", other: "# more changes" }),
  },

  composer: {
    label: (to: string) => `Message ${to}`,
    emoji: "Emoji",
    completions: "Completions",
    editing: "Editing message",
    replyingTo: (name: string, text: string) => `Replying to ${name}: ${text}`,
    cancel: "Cancel",
    send: "Send",
    save: "Save",
    bytesLeft: (count: number) => plural(count, { one: "# byte left", other: "# bytes left" }),
    bytesOver: (count: number) => plural(count, { one: "Too long by # byte", other: "Too long by # bytes" }),
  },

  /** Why nothing can be sent for now. */
  closed: {
    silenced: "A moderator has muted you here: you can read, but not write.",
    silencedUntil: (time: string) => `A moderator has muted you here until ${time}: you can read, but not write.`,
    slowSeconds: (count: number) => plural(count, { one: "Slow mode: you can send again in # second.", other: "Slow mode: you can send again in # seconds." }),
    slowMinutes: (count: number) => plural(count, { one: "Slow mode: you can send again in # minute.", other: "Slow mode: you can send again in # minutes." }),
    banned: "You are banned from this channel.",
    bannedUntil: (time: string) => `You are banned from this channel until ${time}.`,
  },

  emoji: {
    label: "Emoji",
    search: "Search emoji",
    often: "often used",
    found: "found",
    none: "No emoji with that name.",
    loading: "Loading…",
    failed: "The emoji could not be loaded.",
    tryAgain: "Try again",
  },

  details: {
    title: "Details",
    close: "Close details",
    settings: "Title and topic",
    addPeople: "Add people",
    copyLink: "Copy link to join",
    linkCopied: "Link copied",
    show: "Show in the list",
    hide: "Hide from the list",
    hideUntil: "Until the next message",
    pin: "Pin to the top",
    unpin: "Unpin",
    mute: "Mute notifications",
    unmute: "Unmute notifications",
    muteFor: { hour: "For an hour", day: "For a day", ever: "Until I unmute them" },
    mutedUntil: (time: string) => `Muted until ${time}`,
    markUnread: "Mark as unread",
    leave: "Leave",
    membersLabel: "Members",
    manage: (name: string) => `Manage ${name}`,
    makeMember: "Make member",
    makeAdmin: "Make admin",
    makeOwner: "Make owner",
    remove: "Remove",
    more: "More",
    askOwner: (name: string) => `Make ${name} the owner? You will be an admin.`,
    askRemove: (name: string, title: string) => `Remove ${name} from ${title}?`,
    askLeave: (title: string) => `Leave ${title}?`,
    askLeaveForGood: (title: string) => `Leave ${title}? You can come back only if someone adds you.`,
    leaveAsOwner: (title: string) => `Leave ${title}`,
    aboutLeaveAsOwner: "You are the owner. Who should be the new owner?",
    newOwner: "New owner",
    anyOwner: "Longest-standing admin or member",
  },

  account: {
    label: "Account and settings",
    profile: "Profile",
    name: "Name",
    nameAbout: (userId: string) => `Everyone sees it. Your id stays ${userId}.`,
    notifications: "Notifications",
    notAllowed: "Your browser blocks notifications for this page. You can allow them in its settings.",
    appearance: "Appearance",
    themes: { system: "Match system", light: "Light", dark: "Dark" },
    shortcuts: "Keyboard shortcuts",
    signOut: "Sign out",
  },

  list: {
    label: "Conversations",
    rooms: "Rooms",
    people: "People",
    find: "Find",
    findKeys: "Ctrl K",
    findKeysOfMac: "⌘K",
    empty: "No conversations yet. Start one with the pen icon above.",
    channel: "Channel",
    /** On a badge. */
    count: (count: number) => (count > 999 ? "999+" : number(count)),
    unread: "unread",
    mentioned: "you are mentioned",
    pinned: "pinned",
    muted: "notifications muted",
    typing: "typing…",
    draft: (text: string) => `Draft: ${text}`,
    fromYou: (text: string) => `You: ${text}`,
    from: (name: string, text: string) => `${name}: ${text}`,
  },

  notifications: {
    inRoom: (sender: string, title: string) => `${sender} in ${title}`,
  },

  switcher: {
    label: "Find a conversation or a person",
    found: "Found",
    none: "No conversation or person with that name. Messages are not searched.",
  },

  dialogs: {
    cancel: "Cancel",
    save: "Save",
    addTo: (title: string) => `Add people to ${title}`,
    add: "Add",
    title: "Title",
    topic: "Topic",
    titleAndTopic: "Title and topic",
    newConversation: "New conversation",
    kind: "Kind",
    direct: "Direct message",
    directAbout: "With one person.",
    group: "Group",
    groupAbout: "By invitation.",
    channel: "Channel",
    channelAbout: "Open: anyone with the link can join.",
    create: "Create",
    people: "People",
    nameOrId: "Name or id",
    nobody: (userId: string) => `There is no user with the id ${userId}.`,
    addById: (userId: string) => `Add ${userId} by id`,
    openById: (userId: string) => `Write to ${userId} by id`,
  },

  /** Keys, and what they do. */
  shortcuts: [
    ["Ctrl K", "Find a conversation or a person"],
    ["Alt ↑  Alt ↓", "Conversation above or below"],
    ["Enter", "Send"],
    ["Shift Enter", "New line"],
    ["@  :", "Mention someone; an emoji by its name"],
    ["**b**  *i*  `c`", "Bold, italic, code; > quotes, - lists and ``` blocks"],
    ["↑", "In an empty message: edit your last one"],
    ["Shift ↑", "In an empty message: move to the message list"],
    ["↑  ↓  Home  End", "Move between messages"],
    ["R  E  Del  +", "On a message: reply, edit, delete, react"],
    ["Enter", "On a message: show all actions"],
    ["Esc", "Back to writing; cancel"],
    ["?", "This list"],
  ] satisfies readonly (readonly [string, string])[],

  /** A failed action; the reason follows. */
  failures: {
    change: "Could not change it",
    load: "Could not load",
    loadMembers: "Could not load the members",
    loadMessages: "Not loaded",
    changeRole: "Could not change the role",
    remove: "Could not remove",
    leave: "Could not leave",
    hide: "Could not hide it",
    join: "Could not join",
    copy: "Could not copy",
    copyNeedsHttps: "the browser only allows it on https pages",
    create: "Could not create it",
    add: "Could not add them",
    lobby: "The lobby is closed",
    handOver: "Could not transfer ownership",
  },

  ui: {
    close: "Close",
    dismiss: "Dismiss",
  },
};

export type Texts = typeof en;
