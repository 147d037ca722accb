import { afterAll, beforeAll, onTestFinished } from "vitest";
import { WebSocket } from "ws";

import { Client, type ClientOptions, WebSocketTransport } from "../src/index.js";
import { Server } from "./server.js";

/** The server of the importing file. */
export let server: Server;
beforeAll(async () => void (server = await Server.start()));
afterAll(() => server.stop());

export const unique = (name: string) => `${name}-${Math.random().toString(36).slice(2)}`;

/** A client with this token, for one test. It has its rooms, unless it need not be online. */
export async function withToken(token: string, options: Partial<ClientOptions> = {}, isOnline = true): Promise<Client> {
  const client = new Client({ url: server.url, token, transport: new WebSocketTransport(server.url, WebSocket), ...options });
  onTestFinished(() => client.close());
  const started = client.start();
  if (isOnline) await started;
  else started.catch(() => {});
  return client;
}

/** A new user. */
export const person = async (name: string) => withToken(await server.token(unique(name)));

/** What a list yields, at most this many. */
export async function all<T>(list: AsyncIterable<T>, most = Infinity): Promise<T[]> {
  const items: T[] = [];
  for await (const item of list) if (items.push(item) >= most) break;
  return items;
}
