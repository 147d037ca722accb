import { Client, type ClientOptions } from "@parlance/client";
import { ParlanceProvider, useArchivedRooms, useClient, useClientEvent, useConnection, useInvitations, useMembers, useMessages, useOnline, useReceipts, useRoom, useRoomEvent, useRoomInfo, useRooms, useTyping, useUnread } from "@parlance/react";
import { StrictMode, useState } from "react";
import { createRoot, type Root } from "react-dom/client";

/** Number of renders of each component, by name. */
const renders: Record<string, number> = {};
const count = (name: string) => void (renders[name] = (renders[name] ?? 0) + 1);

function Rooms({ onPick }: { onPick: (roomId: string) => void }) {
  count("Rooms");
  const [rooms, { messages }, { status }] = [useRooms(), useUnread(), useConnection()];
  return (
    <nav>
      <p id="status">{status}</p>
      <p id="unread">{messages}</p>
      <p id="archived">{useArchivedRooms().map(({ title }) => title).join(",")}</p>
      {rooms.map(({ id, title, peerId, unreadCount }) => (
        <button key={id} onClick={() => onPick(id)}>{`${title || peerId} (${unreadCount})`}</button>
      ))}
    </nav>
  );
}

function Conversation({ roomId }: { roomId: string }) {
  count("Conversation");
  const client = useClient();
  const room = useRoom(roomId);
  const { messages, hasOlder, loadOlder, error } = useMessages(roomId);
  const members = useMembers(roomId);
  const online = useOnline(members.map(({ userId }) => userId));
  const [heard, setHeard] = useState<string[]>([]);
  useRoomEvent(roomId, "message", ({ text }) => setHeard((before) => [...before, text]));
  return (
    <main>
      <h1>{useRoomInfo(roomId)?.title}</h1>
      {hasOlder && <button id="older" onClick={loadOlder}>older</button>}
      <ol>{messages.map((message) => <li key={message.key}>{`${message.senderId}: ${message.text} ${room?.stateOf(message)}`}</li>)}</ol>
      <p id="members">{members.map(({ userId }) => userId).join(",")}</p>
      <p id="online">{online.filter((userId) => userId !== client.userId).join(",")}</p>
      <p id="typing">{useTyping(roomId).join(",")}</p>
      <p id="receipts">{useReceipts(roomId).map(({ userId, readSeq }) => `${userId} ${readSeq}`).join(",")}</p>
      <p id="heard">{heard.join(",")}</p>
      {error !== undefined && <p id="error">{String(error)}</p>}
      <button id="send" onClick={() => void room?.send("from the page")}>send</button>
      <button id="read" onClick={() => void room?.markRead()}>read</button>
    </main>
  );
}

function Failures() {
  const [failed, setFailed] = useState("");
  useClientEvent("failed", ({ error }) => setFailed(error?.reason ?? ""));
  return <p id="failed">{failed}</p>;
}

function Invitations() {
  const { invitations, accept, decline } = useInvitations();
  const [first] = invitations;
  return (
    <>
      <p id="invitations">{invitations.map(({ title, invitedBy }) => `${title} of ${invitedBy}`).join(",")}</p>
      <button id="accept" onClick={() => first && void accept(first.roomId)}>accept</button>
      <button id="decline" onClick={() => first && void decline(first.roomId)}>decline</button>
    </>
  );
}

function App() {
  const [roomId, pick] = useState<string>();
  return (
    <>
      <Rooms onPick={pick} />
      <Failures />
      <Invitations />
      {roomId && <Conversation roomId={roomId} />}
    </>
  );
}

let root: Root;
let own: Client | undefined;
const page = {
  renders,
  mount(options: ClientOptions, isOwn: boolean) {
    root = createRoot(document.getElementById("app")!);
    if (isOwn) void (own = new Client(options)).start();
    root.render(<StrictMode>{own ? <ParlanceProvider client={own}><App /></ParlanceProvider> : <ParlanceProvider options={options}><App /></ParlanceProvider>}</StrictMode>);
  },
  unmount: () => root.unmount(),
  status: () => own?.state.status,
};
declare global {
  interface Window {
    page: typeof page;
  }
}
window.page = page;
