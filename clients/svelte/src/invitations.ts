import type { Client } from "@parlance/client";
import { type Invitation, invitationsOf } from "@parlance/client/invitations";
import { createSubscriber } from "svelte/reactivity";

import type { Followed } from "./slices";

/** The user's invitations, loaded and kept up to date while they are tracked. `invitationsOf(client)` answers them. */
export function invitations(client: Client): Followed<readonly Invitation[]> {
  const own = invitationsOf(client);
  const follow = createSubscriber((changed) => {
    // Retried on the next connection.
    own.load().catch(() => {});
    return own.on("change", changed);
  });
  return {
    get current() {
      follow();
      return own.all;
    },
  };
}
