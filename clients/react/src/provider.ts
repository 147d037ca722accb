import { Client, type ClientOptions } from "@parlance/client";
import { createContext, createElement, type ReactNode, useContext, useEffect, useState } from "react";

const ClientContext = createContext<Client | undefined>(undefined);

/** Either a client of the application, or the options for a new one. */
export type ParlanceProviderProps = { children?: ReactNode } & (
  | {
      /** A client that the application creates, starts and closes. */
      client: Client;
      options?: never;
    }
  | {
      /**
       * Options for a new client: it is created on the first render, started, and closed when the provider is
       * unmounted. Later changes are ignored: use the id of the user as `key` of the provider.
       */
      options: ClientOptions;
      client?: never;
    }
);

/** Makes a client available to the hooks below it. Renders only its children. */
export function ParlanceProvider({ client, options, children }: ParlanceProviderProps): ReactNode {
  return client ? createElement(ClientContext, { value: client }, children) : createElement(OwnClient, { options, children });
}

function OwnClient({ options, children }: { options: ClientOptions; children?: ReactNode }): ReactNode {
  const [owned] = useState(() => own(options));
  useEffect(() => owned.use(), [owned]);
  return createElement(ClientContext, { value: owned.client }, children);
}

/** A client that is open while it is used. */
function own(options: ClientOptions) {
  const client = new Client(options);
  let closing: ReturnType<typeof setTimeout> | undefined;
  const use = () => {
    clearTimeout(closing);
    // `useConnection` returns the error.
    client.start().catch(() => {});
    // In strict mode it is immediately mounted again, and a closed client cannot be restarted.
    return () => void (closing = setTimeout(() => client.close()));
  };
  return { client, use };
}

/** Returns the client of the nearest provider. Throws if there is none. */
export function useClient(): Client {
  const client = useContext(ClientContext);
  if (!client) throw new Error("there is no <ParlanceProvider> above");
  return client;
}
