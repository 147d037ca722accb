import { readFile, rename, writeFile } from "node:fs/promises";

import { Client, type RoomCursor, type v1 } from "@parlance/client";

const FILE = "cursors.json";

async function load(): Promise<RoomCursor[]> {
  const text = await readFile(FILE, "utf8").catch(() => "[]");
  return JSON.parse(text) as RoomCursor[];
}

async function save(cursors: readonly RoomCursor[]): Promise<void> {
  await writeFile(`${FILE}.new`, JSON.stringify(cursors));
  await rename(`${FILE}.new`, FILE);
}

/** Answers every "ping". An event may arrive twice: the id makes both answers the same message. */
async function handle(client: Client, event: v1.Event): Promise<void> {
  if (event.body.case !== "message" || event.actorId === client.userId || event.body.value.text !== "ping") return;
  const target = { case: "roomId", value: event.roomId } as const;
  await client.call("sendMessage", { target, text: "pong", clientMessageId: `pong-${event.roomId}-${event.seq}` });
}

export async function bot(client: Client): Promise<void> {
  const events = client.events({ cursors: await load() });
  for await (const item of events) {
    if (item.kind === "event") await handle(client, item.event);
    // Missed events are read if the server still has them; `item.gap.reason` says why they were
    // missed.
    else for await (const missed of client.eventsOf(item.gap)) if (missed.kind === "event") await handle(client, missed.event);
    await save(events.cursors);
  }
}
