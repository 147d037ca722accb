import { Client, type ClientOptions } from "@parlance/client";
import { createContext, createElement, type ReactNode, useContext, useEffect, useState } from "react";

const ClientContext = createContext<Client | undefined>(undefined);

/** Either a client of the application's own, or the options of one. */
export type ParlanceProviderProps = { children?: ReactNode } & (
  | {
      /** A client that the application creates, starts, and closes. */
      client: Client;
      options?: never;
    }
  | {
      /**
       * How to be a client: it is created with the first render, started, and closed when the provider is unmounted.
       * Later options are ignored: give the provider the id of its user as `key`.
       */
      options: ClientOptions;
      client?: never;
    }
);

/** Makes a client available to the hooks below it. Renders its children and nothing else. */
export function ParlanceProvider({ client, options, children }: ParlanceProviderProps): ReactNode {
  return client ? createElement(ClientContext, { value: client }, children) : createElement(OwnClient, { options, children });
}

function OwnClient({ options, children }: { options: ClientOptions; children?: ReactNode }): ReactNode {
  const [owned] = useState(() => own(options));
  useEffect(() => owned.use(), [owned]);
  return createElement(ClientContext, { value: owned.client }, children);
}

/** A client that is open as long as it is used. */
function own(options: ClientOptions) {
  const client = new Client(options);
  let closing: ReturnType<typeof setTimeout> | undefined;
  const use = () => {
    clearTimeout(closing);
    // `useConnection` has the error.
    client.start().catch(() => {});
    // In strict mode it is mounted again at once, and a closed client cannot be started.
    return () => void (closing = setTimeout(() => client.close()));
  };
  return { client, use };
}

/** Returns the client of the provider above. Throws where there is none. */
export function useClient(): Client {
  const client = useContext(ClientContext);
  if (!client) throw new Error("there is no <ParlanceProvider> above");
  return client;
}
