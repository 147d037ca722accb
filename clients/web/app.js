// A small chat page on the WebSocket door: canonical proto3 JSON, one frame a message.
// 64-bit numbers are strings on the wire; seqs stay far below 2^53 and become Numbers.

const $ = (id) => document.getElementById(id);
const HISTORY = 100;

let me = null; // { userId, name, token }
let socket = null;
let opened = false;
let backoff = 0;
let current = null; // room id, or "user:ID" for a person without a room yet
const waiting = new Map(); // request id -> { frame, resolve, reject }
const rooms = new Map(); // room id -> room
const people = new Map(); // user id -> { name, online }
let nextRequest = 1;

const randomId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

// === Signing in ===

async function createUser(userId, name) {
  const response = await fetch("/v1/users", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ userId, name }),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(body.error?.message ?? response.statusText);
  return body;
}

// An id that a person can still read: letters, digits and dashes of the name.
const idOf = (name) => name.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 64);

$("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("name").value.trim();
  try {
    const { user, token } = await createUser(idOf(name), name);
    if (!token) throw new Error("this server wants tokens of its own; use an app that has one");
    me = { userId: user.userId, name: user.name, token };
    // Per tab, so that a second tab is a second person.
    sessionStorage.setItem("parlance", JSON.stringify(me));
    start();
  } catch (error) {
    $("sign-in-error").textContent = error.message;
  }
});

function start() {
  $("sign-in").hidden = true;
  $("chat").hidden = false;
  $("me").textContent = me.name;
  connect();
}

// === The connection ===

function connect() {
  state("connecting…");
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
  // A browser cannot set headers here: the token travels as a subprotocol.
  socket = new WebSocket(url, ["parlance.v1", `bearer.${me.token}`]);
  socket.onopen = () => {
    const cursors = [...rooms.values()].map((room) => ({ roomId: room.id, seq: String(room.cursor), epoch: room.epoch }));
    socket.send(JSON.stringify({ hello: { deviceId: "web", cursors } }));
  };
  socket.onmessage = (message) => receive(JSON.parse(message.data));
  socket.onclose = () => {
    opened = false;
    backoff = Math.min(10_000, 2 * backoff || 250);
    const delay = backoff * (0.5 + Math.random() / 2);
    state("offline, trying again…");
    setTimeout(connect, delay);
  };
}

const state = (text) => ($("connection").textContent = text);

// Sends an operation until it is answered: across reconnects too, since every change
// carries an id of its own.
function call(operation) {
  return new Promise((resolve, reject) => {
    const requestId = String(nextRequest++);
    const frame = { requestId, ...operation };
    waiting.set(requestId, { frame, resolve, reject });
    if (opened) socket.send(JSON.stringify(frame));
  });
}

function receive(frame) {
  if (frame.welcome) welcomed();
  else if (frame.reply) replied(frame.reply);
  else if (frame.event) happened(frame.event);
  else if (frame.gap) skipped(frame.gap);
  else if (frame.signal) signalled(frame.signal);
  else if (frame.draining) state("the server restarts…");
}

async function welcomed() {
  opened = true;
  backoff = 0;
  state("online");
  for (const { frame } of waiting.values()) socket.send(JSON.stringify(frame));
  await Promise.all([loadInbox(), loadPeople()]);
  if (![...rooms.values()].some((room) => room.kind === "ROOM_KIND_CHANNEL")) await joinLobby();
  if (!current && rooms.size) show([...rooms.keys()][0]);
}

function replied(reply) {
  const call = waiting.get(reply.requestId);
  if (!call) {
    if (reply.error?.code === 16) signOut();
    return;
  }
  const error = reply.error;
  // Worth another try later: too fast, or the server is going away.
  if (error && (error.code === 8 || error.code === 14)) {
    const delay = 1000 * parseFloat(error.retryDelay ?? "1");
    setTimeout(() => opened && socket.send(JSON.stringify(call.frame)), delay);
    return;
  }
  waiting.delete(reply.requestId);
  if (error) call.reject(Object.assign(new Error(error.message), error));
  else call.resolve(Object.entries(reply).find(([key]) => key !== "requestId")?.[1] ?? {});
}

function signOut() {
  sessionStorage.removeItem("parlance");
  location.reload();
}

// === Rooms ===

function roomOf(id) {
  if (!rooms.has(id)) {
    rooms.set(id, { id, title: "…", kind: "", cursor: 0, epoch: "0", count: 0, read: 0, events: new Map(), loaded: false, peer: "" });
  }
  return rooms.get(id);
}

async function loadInbox() {
  let pageToken = "";
  do {
    const page = await call({ listInbox: { pageSize: 200, pageToken } });
    for (const entry of page.entries ?? []) {
      const room = roomOf(entry.room.roomId);
      room.kind = entry.room.kind;
      room.peer = entry.peerId ?? "";
      room.title = entry.room.settings?.title || room.peer || "untitled";
      room.epoch = entry.room.epoch;
      room.count = Math.max(room.count, Number(entry.room.messageCount ?? 0));
      room.read = Math.max(room.read, Number(entry.read?.messageCount ?? 0));
    }
    pageToken = page.nextPageToken ?? "";
  } while (pageToken);
  drawRooms();
}

async function loadPeople() {
  const page = await call({ listUsers: { pageSize: 200 } }).catch(() => ({}));
  for (const user of page.users ?? []) {
    if (user.userId !== LOBBY) people.set(user.userId, { name: user.name, online: people.get(user.userId)?.online ?? false });
  }
  const ids = [...people.keys()].slice(0, 100);
  const presence = ids.length ? await call({ getPresence: { userIds: ids } }) : {};
  for (const { userId, online } of presence.presences ?? []) people.get(userId).online = online ?? false;
  drawPeople();
}

// In local mode everyone meets in one channel. It belongs to a user of its own, so that
// it is the same room whoever comes first.
const LOBBY = "lobby";
async function joinLobby() {
  try {
    const { token } = await createUser(LOBBY, "Lobby");
    if (!token) return;
    const response = await fetch("/v1/rooms", {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ kind: "ROOM_KIND_CHANNEL", settings: { title: "Lobby" }, requestId: "lobby" }),
    });
    const { room } = await response.json();
    await call({ joinRoom: { roomId: room.roomId, requestId: randomId() } });
    await loadInbox();
    show(room.roomId);
  } catch (error) {
    problem(error);
  }
}

$("new-room").addEventListener("submit", async (event) => {
  event.preventDefault();
  const title = $("new-room-title").value.trim();
  if (!title) return;
  $("new-room-title").value = "";
  try {
    const { room } = await call({ createRoom: { kind: "ROOM_KIND_CHANNEL", settings: { title }, requestId: randomId() } });
    await loadInbox();
    show(room.roomId);
  } catch (error) {
    problem(error);
  }
});

async function show(id) {
  current = id;
  $("chat").classList.add("in-room");
  problem(null);
  if (!id.startsWith("user:")) {
    const room = roomOf(id);
    if (!room.loaded) {
      room.loaded = true;
      const page = await call({ listMessages: { roomId: id, pageSize: HISTORY } }).catch(() => ({}));
      for (const event of page.messages ?? []) room.events.set(Number(event.seq), event);
    }
  }
  draw();
  $("text").focus();
}

$("back").addEventListener("click", () => {
  current = null;
  $("chat").classList.remove("in-room");
});

// === What comes in ===

function happened(event) {
  const room = roomOf(event.roomId);
  const seq = Number(event.seq);
  if (seq <= room.cursor) return;
  room.cursor = seq;
  room.count = Math.max(room.count, Number(event.messageCount ?? 0));
  if (event.message) {
    room.events.set(seq, event);
    if (event.actorId === me.userId) room.read = Math.max(room.read, room.count);
  } else {
    change(room, event, seq);
  }
  if (room.title === "…") loadInbox();
  if (current === room.id || (current === `user:${room.peer}` && room.peer)) {
    current = room.id;
    draw();
  } else {
    drawRooms();
  }
}

function change(room, event, seq) {
  const target = (field) => room.events.get(Number(field.targetSeq))?.message;
  if (event.messageEdited) {
    const message = target(event.messageEdited);
    if (message && !message.deleted) Object.assign(message, { text: event.messageEdited.text, editedAt: event.at });
  } else if (event.messageDeleted) {
    const message = target(event.messageDeleted);
    if (message) Object.assign(message, { text: "", deleted: true });
  } else if (event.memberAdded || event.memberRemoved) {
    room.events.set(seq, event);
    if (event.memberRemoved?.userId === me.userId) rooms.delete(room.id);
    if (event.memberAdded && !people.has(event.memberAdded.userId)) loadPeople();
  } else if (event.roomChanged) {
    room.title = event.roomChanged.settings?.title || room.title;
  }
}

// What is not pushed is paged when the room is opened.
function skipped(gap) {
  const room = rooms.get(gap.roomId) ?? (gap.toSeq ? roomOf(gap.roomId) : null);
  if (!room) return;
  if (gap.reason === "GAP_REASON_RESTORED") room.events.clear();
  room.cursor = Math.max(room.cursor, Number(gap.toSeq ?? 0));
  if (gap.reason !== "GAP_REASON_NOT_MEMBER") room.loaded = false;
}

let typingTimer = 0;
function signalled({ typing, presence }) {
  if (presence) {
    const person = people.get(presence.userId);
    if (person) person.online = presence.online ?? false;
    else loadPeople();
    drawPeople();
  }
  if (typing && typing.roomId === current) {
    $("typing").textContent = `${nameOf(typing.userId)} is typing…`;
    clearTimeout(typingTimer);
    typingTimer = setTimeout(() => ($("typing").textContent = ""), 1000 * parseFloat(typing.expiresAfter ?? "5"));
  }
}

// === Sending ===

let lastTyping = 0;
$("text").addEventListener("input", () => {
  if (!current || current.startsWith("user:") || Date.now() - lastTyping < 3000) return;
  lastTyping = Date.now();
  call({ sendTyping: { roomId: current } }).catch(() => {});
});

$("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!text.trim() || !current) return;
  $("text").value = "";
  const target = current.startsWith("user:") ? { toUser: current.slice(5) } : { roomId: current };
  const afterSeq = target.roomId ? { afterSeq: String(roomOf(target.roomId).cursor) } : {};
  const pending = pendingLine(text);
  try {
    const sent = await call({ sendMessage: { ...target, ...afterSeq, clientMessageId: randomId(), text } });
    if (current === `user:${target.toUser}`) {
      await loadInbox();
      show(sent.roomId);
    }
  } catch (error) {
    problem(error);
    $("text").value ||= text;
  } finally {
    pending.remove();
  }
});

// === Drawing: text is only ever set as text ===

const nameOf = (userId) => people.get(userId)?.name ?? userId;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function pendingLine(text) {
  const line = element("li", "own sending", text);
  $("messages").append(line);
  $("messages").scrollTop = $("messages").scrollHeight;
  return line;
}

function draw() {
  drawRooms();
  drawPeople();
  const room = rooms.get(current);
  $("title").textContent = room ? titleOf(room) : current ? nameOf(current.slice(5)) : "";
  $("room-id").textContent = room?.id ?? "";
  $("typing").textContent = "";
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  list.replaceChildren(...(room ? [...room.events.entries()].sort(([a], [b]) => a - b).map(([, event]) => line(event)) : []));
  if (atEnd || !list.childElementCount) list.scrollTop = list.scrollHeight;
  if (room && room.cursor && room.read < room.count && document.visibilityState === "visible") {
    room.read = room.count;
    call({ markRead: { roomId: room.id, seq: String(room.cursor), requestId: randomId() } }).catch(() => {});
    drawRooms();
  }
}

function line(event) {
  if (event.memberAdded) return element("li", "note", `${nameOf(event.memberAdded.userId)} joined`);
  if (event.memberRemoved) return element("li", "note", `${nameOf(event.memberRemoved.userId)} left`);
  const item = element("li", event.actorId === me.userId ? "own" : "");
  const at = new Date(event.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const edited = event.message.editedAt ? " (edited)" : "";
  item.append(element("span", "who", `${nameOf(event.actorId)} · ${at}${edited}`));
  item.append(event.message.deleted ? "message deleted" : event.message.text);
  return item;
}

const titleOf = (room) => (room.peer ? nameOf(room.peer) : `# ${room.title}`);

function entry(label, isCurrent, onClick) {
  const item = element("li");
  const button = element("button");
  button.type = "button";
  button.setAttribute("aria-current", String(isCurrent));
  button.addEventListener("click", onClick);
  button.append(element("span", "name", label));
  item.append(button);
  return [item, button];
}

function drawRooms() {
  let total = 0;
  const items = [...rooms.values()].map((room) => {
    const [item, button] = entry(titleOf(room), room.id === current, () => show(room.id));
    const unread = Math.max(0, room.count - room.read);
    total += unread;
    if (unread) button.append(element("span", "badge", String(unread)));
    return item;
  });
  $("rooms").replaceChildren(...items);
  document.title = total ? `(${total}) Parlance` : "Parlance";
}

function drawPeople() {
  const items = [...people.entries()].filter(([id]) => id !== me.userId).map(([id, person]) => {
    const direct = [...rooms.values()].find((room) => room.peer === id);
    const [item, button] = entry(person.name, current === `user:${id}`, () => show(direct?.id ?? `user:${id}`));
    const dot = element("span", `dot${person.online ? " online" : ""}`);
    dot.title = person.online ? "online" : "offline";
    button.prepend(dot);
    return item;
  });
  $("people").replaceChildren(...items);
}

function problem(error) {
  $("problem").textContent = error ? error.message : "";
}

document.addEventListener("visibilitychange", () => me && opened && draw());

const saved = sessionStorage.getItem("parlance");
if (saved) {
  me = JSON.parse(saved);
  start();
}
