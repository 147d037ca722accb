import { readFile } from "node:fs/promises";
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { type WebSocket, WebSocketServer } from "ws";

const DIST = process.env["WEB_APP"] ?? fileURLToPath(new URL("../dist", import.meta.url));
const TYPES: Record<string, string> = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const NAMES = ["Ada", "Bela", "Chidi", "Dana", "Emre", "Fatima", "Goran", "Hanna", "Ines", "Jonas"];

export interface CrowdOptions {
  rooms: number;
  /** Number of direct rooms, each with another user. */
  direct?: number;
  people: number;
  /** Number of messages in the latest room. */
  long?: number;
  /** Number of rooms with an unread message. */
  unread?: number;
  /** Number of members of each room besides the user. */
  members?: number;
  /** Whether everyone may list the users, as in local mode. */
  directory?: boolean;
  /** The user's role in all rooms. */
  role?: "ROLE_MEMBER" | "ROLE_ADMIN" | "ROLE_OWNER";
  /** The path prefix, as behind a proxy: `/chat`. */
  prefix?: string;
}

interface CrowdRoom {
  readonly id: string;
  readonly title: string;
  readonly peerId: string;
  /** Number of messages from before the page was opened. */
  readonly begin: number;
  head: number;
  read: number;
  /** What the user has set for it. */
  preferences: Json;
  settings: Json;
}

type Json = Record<string, unknown>;

/**
 * A server with one user in many rooms: it implements as much of the contract as the page
 * needs, is cheap compared with the page, and counts calls.
 */
export class Crowd {
  static readonly USER = "me";
  readonly rooms: readonly CrowdRoom[];
  /** Number of calls by operation. */
  readonly calls = new Map<string, number>();
  /** The last request of each operation. */
  readonly requests = new Map<string, Json>();
  /** How far the server's clock is ahead of the real one, in milliseconds. */
  skewMs = 0;
  /** Whom the user blocks. */
  readonly blocked = new Set<string>();
  /** Who is banned from every room. */
  readonly banned = new Set<string>();
  /** Whether users may be searched for by name. */
  searches = false;
  /** Pictures of users, by id. */
  readonly pictures = new Map<string, string>();
  /** Whether the user's own messages are in their rooms; otherwise they are only answered. */
  keepsOwn = true;
  /** Operations that are refused. */
  readonly refused = new Set<string>();
  /** Errors of operations, in place of an answer. */
  readonly errors = new Map<string, Json>();
  /** Operations that are not answered until {@link release}. */
  readonly held = new Set<string>();
  readonly #waiting: (() => void)[] = [];
  readonly #options: CrowdOptions;
  readonly #http: HttpServer;
  readonly #sockets = new Set<WebSocket>();
  readonly #begin = Date.now() - 86_400_000;
  /** Messages since the page was opened, as they are read again, by room and seq. */
  readonly #said = new Map<string, Json>();
  #lastAtMs = 0;

  private constructor(options: CrowdOptions) {
    this.#options = options;
    const { rooms, direct = 0, unread = 0, long = 10, prefix = "" } = options;
    this.rooms = Array.from({ length: rooms }, (_, index) => {
      const peerId = index < direct ? `person-${index}` : "";
      const begin = index === rooms - 1 ? long : 10;
      return { id: `room-${index}`, title: peerId ? "" : `Room ${index}`, peerId, begin, head: begin, read: index >= rooms - unread ? begin - 1 : begin, preferences: {}, settings: {} };
    });
    this.#http = createServer((request, response) => {
      const { pathname } = new URL(request.url!, "http://x");
      if (!pathname.startsWith(`${prefix}/`)) return void response.writeHead(404).end();
      const name = pathname.slice(prefix.length).replace(/^\/$/, "/index.html");
      readFile(path.join(DIST, name)).then(
        (body) => response.writeHead(200, { "content-type": TYPES[path.extname(name)] ?? "" }).end(body),
        () => response.writeHead(404).end(),
      );
    });
    const handleProtocols = () => "parlance.v1";
    new WebSocketServer({ server: this.#http, path: `${prefix}/ws`, handleProtocols }).on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("message", (data) => this.#answer(socket, JSON.parse(String(data))));
    });
  }

  static async start(options: CrowdOptions): Promise<Crowd> {
    const crowd = new Crowd(options);
    await new Promise<void>((resolve) => crowd.#http.listen(0, "127.0.0.1", resolve));
    return crowd;
  }

  async stop(): Promise<void> {
    this.#http.closeAllConnections();
    for (const socket of this.#sockets) socket.terminate();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}${this.#options.prefix ?? ""}`;
  }

  /** A URL that signs in, optionally in a room. */
  get signIn(): string {
    const payload = Buffer.from(JSON.stringify({ sub: Crowd.USER })).toString("base64url");
    return `${this.url}/#token=e30.${payload}.e30`;
  }

  /** Adds a message to a room, optionally from the past. */
  say(room: CrowdRoom, text: string, senderId = room.peerId || "person-0", agoMs = 0): number {
    room.head += 1;
    // Each is later than the one before, so that their order does not depend on the clock's resolution.
    this.#lastAtMs = Math.max(this.#now, this.#lastAtMs + 1);
    const event = { ...this.#message(room, room.head, text, senderId), at: this.#at(this.#lastAtMs - agoMs) };
    this.#said.set(`${room.id} ${room.head}`, event);
    this.#send({ event });
    return room.head;
  }

  /** Adds any event to a room. */
  happens(room: CrowdRoom, body: Json, actorId = "person-0"): void {
    room.head += 1;
    this.#send({ event: { ...this.#event(room, room.head), actorId, requestId: `r${room.head}`, ...body } });
  }

  /** Adds a user to a room, by another user. */
  add(room: CrowdRoom, userId: string): void {
    this.happens(room, { memberAdded: { userId, role: "ROLE_MEMBER" } });
  }

  /** Removes a user from a room. */
  leave(room: CrowdRoom, userId: string): void {
    this.happens(room, { memberRemoved: { userId } }, userId);
  }

  /** Marks a room as read from another device of the user. */
  readElsewhere(room: CrowdRoom): void {
    room.read = room.head;
    this.#send({ signal: { receipt: { roomId: room.id, userId: Crowd.USER, readSeq: room.head, deliveredSeq: room.head, messageCount: room.head } } });
  }

  /** Answers held calls of an operation. */
  release(name: string): void {
    this.held.delete(name);
    for (const answer of this.#waiting.splice(0)) answer();
  }

  #send(frame: Json): void {
    const text = JSON.stringify(frame);
    for (const socket of this.#sockets) socket.send(text);
  }

  #answer(socket: WebSocket, { requestId, ...operation }: { requestId: string } & Record<string, Json>): void {
    const [name, request] = Object.entries(operation)[0]!;
    this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
    this.requests.set(name, request);
    const say = (frame: Json) => socket.send(JSON.stringify(frame));
    if (name === "hello") return say({ welcome: this.#welcome() });
    if (this.held.has(name)) return void this.#waiting.push(() => this.#reply(say, name, requestId, request));
    this.#reply(say, name, requestId, request);
  }

  #reply(say: (frame: Json) => void, name: string, requestId: string, request: Json): void {
    const error = this.errors.get(name);
    const result = error || this.refused.has(name) ? undefined : this.#result(name, request);
    say({ reply: { requestId, ...(result === undefined ? { error: error ?? { code: 7, reason: "permission_denied", message: "not here" } } : { [name]: result }) } });
  }

  #welcome(): Json {
    const heads = this.rooms.map(({ id, head }) => ({ roomId: id, seq: head }));
    return {
      sessionId: "s",
      userId: Crowd.USER,
      nodeId: "n",
      serverTime: this.#at(this.#now),
      heads,
      limits: { maxTextBytes: 16_384, maxFrameBytes: 65_536, maxInFlight: 64 },
    };
  }

  #result(name: string, request: Json): Json | undefined {
    const room = this.rooms[Number(String(request["roomId"] ?? "").split("-")[1])]!;
    switch (name) {
      case "listInbox":
        return this.#page("entries", this.rooms, request, (one) => this.#entry(one));
      case "listUsers":
        if (!this.#options.directory) return undefined;
        return this.#page("users", this.#people(this.#options.people), request, (id) => this.#user(id));
      case "searchUsers": {
        if (!this.searches) return undefined;
        const prefix = String(request["namePrefix"]).toLowerCase();
        const users = this.#people(this.#options.people).map((id) => this.#user(id));
        return { users: users.filter(({ name }) => String(name).toLowerCase().startsWith(prefix)).slice(0, Number(request["pageSize"])) };
      }
      case "getUser":
        return { user: this.#user(String(request["userId"])) };
      case "getPresence":
        return { presences: ((request["userIds"] ?? []) as string[]).map((userId) => ({ userId, online: userId.endsWith("1") })) };
      // Which one does not matter: it is there.
      case "createRoom":
        return { room: this.#entry(this.rooms[0]!)["room"] };
      case "listMessages":
        return this.#messages(room, request);
      case "listMembers":
        return this.#page("members", [Crowd.USER, ...this.#people(this.#options.members ?? 2)], request, (userId) => this.#member(userId));
      case "listReceipts":
        return { receipts: [] };
      case "editMessage": {
        const { seq: targetSeq, text } = request;
        room.head += 1;
        this.#send({ event: { ...this.#event(room, room.head), actorId: Crowd.USER, messageEdited: { targetSeq, text } } });
        return { outcome: { seq: room.head } };
      }
      case "sendMessage": {
        if (request["roomId"] === undefined || !this.keepsOwn) return {};
        room.head += 1;
        const { clientMessageId: requestId, text } = request;
        const event = { ...this.#message(room, room.head, String(text), Crowd.USER), requestId };
        this.#said.set(`${room.id} ${room.head}`, event);
        this.#send({ event });
        return { roomId: room.id, seq: room.head, at: this.#at(this.#now), messageCount: room.head };
      }
      case "listBlocked":
        return { blocks: [...this.blocked].sort().map((userId) => ({ userId })) };
      case "blockUser":
      case "unblockUser": {
        const [userId, blocked] = [String(request["userId"]), name === "blockUser"];
        if (blocked) this.blocked.add(userId);
        else this.blocked.delete(userId);
        this.#send({ signal: { blockChanged: { userId, blocked } } });
        return {};
      }
      case "listBans":
        return { members: [...this.banned].sort().map((userId) => ({ ...this.#member(userId), active: false })) };
      case "banMember":
      case "unbanMember": {
        const userId = String(request["userId"]);
        if (name === "banMember") this.banned.add(userId);
        else this.banned.delete(userId);
        this.happens(room, name === "banMember" ? { memberBanned: { userId } } : { memberUnbanned: { userId } }, Crowd.USER);
        return { outcome: { seq: room.head } };
      }
      case "setRoomPreferences": {
        const { pinned, muted, mutedUntil, markedUnread } = request;
        if (pinned !== undefined) room.preferences = { ...room.preferences, pinned };
        if (muted !== undefined) room.preferences = { ...room.preferences, muted, mutedUntil };
        if (markedUnread !== undefined) room.preferences = { ...room.preferences, markedUnread };
        return { preferences: room.preferences };
      }
      case "getRoom":
        return { room: { roomId: request["roomId"], kind: "ROOM_KIND_CHANNEL", settings: { title: "Elsewhere" }, memberCount: 7 } };
      case "markRead":
        room.read = Number(request["seq"]);
        return { read: { seq: room.read, messageCount: room.read } };
      default:
        return {};
    }
  }

  #page<T>(field: string, all: readonly T[], { pageSize, pageToken = "" }: Json, show: (one: T) => Json): Json {
    const from = Number(pageToken);
    const to = from + Number(pageSize);
    return { [field]: all.slice(from, to).map(show), nextPageToken: to < all.length ? String(to) : "" };
  }

  #people(count: number): string[] {
    return Array.from({ length: count }, (_, index) => `person-${index}`);
  }

  #entry(room: CrowdRoom): Json {
    const { id, title, peerId, head, read } = room;
    return {
      room: {
        roomId: id,
        kind: peerId ? "ROOM_KIND_DIRECT" : "ROOM_KIND_GROUP",
        settings: { title, ...room.settings },
        createdAt: this.#at(this.#begin),
        headSeq: head,
        messageCount: head,
        memberCount: 2,
      },
      membership: this.#member(Crowd.USER),
      lastMessage: this.#message(room, head, "the last of ten", peerId || "person-0"),
      unreadCount: head - read,
      read: { seq: read, messageCount: read },
      peerId,
      preferences: room.preferences,
    };
  }

  #messages(room: CrowdRoom, { beforeSeq, afterSeq, pageSize }: Json): Json {
    const size = Number(pageSize);
    const isForwards = afterSeq !== undefined && !Number(beforeSeq ?? 0);
    const from = isForwards ? Number(afterSeq) + 1 : Math.max(1, Math.min(room.head, (Number(beforeSeq ?? 0) || Infinity) - 1) - size + 1);
    const to = Math.min(room.head, isForwards ? from + size - 1 : Number(beforeSeq ?? 0) ? Number(beforeSeq) - 1 : room.head);
    const messages = Array.from({ length: to - from + 1 }, (_, index) => this.#read(room, from + index));
    return { messages, hasMore: isForwards ? to < room.head : from > 1, nextSeq: isForwards ? to : from, headSeq: room.head };
  }

  #read(room: CrowdRoom, seq: number): Json {
    return this.#said.get(`${room.id} ${seq}`) ?? this.#message(room, seq, this.#text(room, seq), `person-${Math.floor(seq / 3) % 40}`);
  }

  /** For a long room: realistic texts, most of them short. */
  #text({ begin }: CrowdRoom, seq: number): string {
    if (begin <= 10) return `message ${seq - 1}`;
    const words = `${seq}: ${"some words that somebody has written about it ".repeat(1 + ((seq * 7) % 5))}`;
    return seq % 17 === 0 ? `${words}\n\nhttps://example.org/${seq}\n@person-1 ${words.repeat(3)}` : words;
  }

  #message(room: CrowdRoom, seq: number, text: string, actorId: string): Json {
    return { ...this.#event(room, seq), actorId, requestId: `r${seq}`, message: { text } };
  }

  #event(room: CrowdRoom, seq: number): Json {
    // Messages from before the page was opened are hours old, in the order of the rooms.
    const at = seq > room.begin ? this.#now : this.#begin + this.rooms.indexOf(room) * 10_000 + seq * (room.begin > 10 ? 1_000 : 1);
    return { roomId: room.id, seq, at: this.#at(at), actorId: "person-0", messageCount: seq };
  }

  #user(userId: string): Json {
    const index = Number(userId.split("-")[1] ?? 0);
    return { userId, name: userId === Crowd.USER ? "Me Myself" : `${NAMES[index % NAMES.length]} ${index}`, imageUrl: this.pictures.get(userId) ?? "", updatedAt: this.#at(this.#begin) };
  }

  #member(userId: string): Json {
    return { userId, role: userId === Crowd.USER ? (this.#options.role ?? "ROLE_MEMBER") : "ROLE_MEMBER", active: true };
  }

  get #now(): number {
    return Date.now() + this.skewMs;
  }

  readonly #at = (milliseconds: number) => new Date(milliseconds).toISOString();
}
