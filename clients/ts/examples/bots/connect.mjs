// Shared by the bots: a client of PARLANCE_SERVER with PARLANCE_TOKEN, and cursors in the file PARLANCE_CURSORS.
import { readFile, rename, writeFile } from "node:fs/promises";

import { Client, RefusedError, UnavailableError, WebSocketTransport } from "@parlance/client";
import { WebSocket } from "ws";

const { PARLANCE_SERVER: url = "http://127.0.0.1:8080", PARLANCE_TOKEN: token = "", PARLANCE_CURSORS: file = "cursors.json" } = process.env;

/** A client that is not started yet. Node before 22 has no built-in WebSocket. */
export const connect = () => new Client({ url, token, transport: new WebSocketTransport(url, WebSocket) });

/** Whether an action was carried out. A refusal, such as one to ban an owner, must not stop the bot in its other rooms. */
export const isDone = (action) =>
  action.then(
    () => true,
    (error) => {
      if (!(error instanceof RefusedError) || error instanceof UnavailableError) throw error;
      console.error(error.message);
      return false;
    },
  );

/** Every event of the bot's rooms, including those from while it was not running. An event is marked as handled when the loop requests
 * the next one. */
export async function* eventsOf(client) {
  const cursors = JSON.parse(await readFile(file, "utf8").catch(() => "[]"));
  const events = client.events({ cursors });
  for await (const item of events) {
    if (item.kind === "event") yield item.event;
    else for await (const missed of client.eventsOf(item.gap)) if (missed.kind === "event") yield missed.event;
    await writeFile(`${file}.new`, JSON.stringify(events.cursors));
    await rename(`${file}.new`, file);
  }
}
