import type { Session } from "../session/session.js";
import { whileOnline } from "../session/while-online.js";
import type { CallOptions } from "../session/calls.js";
import type { Input } from "../state/inputs.js";
import type { State } from "../state/state.js";

/** Interval of presence queries: signals may be lost. */
const EVERY_MS = 60_000;
const PAGE = 100;

/** The state that presence is a part of. */
interface Target {
  readonly confirmed: State;
  nextOrder(): number;
  apply(input: Input): void;
}

/** The presence of watched users. */
export class Presence {
  readonly #session: Session;
  readonly #target: Target;

  constructor(session: Session, target: Target) {
    [this.#session, this.#target] = [session, target];
    whileOnline(session, EVERY_MS, () => this.lookUp());
  }

  watch(userIds: readonly string[]): Promise<void> {
    return this.#ask(userIds);
  }

  /** Queries what signals may have missed, on this connection only. */
  lookUp(): Promise<void> {
    return this.#ask([...this.#target.confirmed.presence.keys()], { ephemeral: true });
  }

  signal(userId: string, online: boolean): void {
    this.#target.apply({ type: "presence", userId, online, order: this.#target.nextOrder() });
  }

  async #ask(userIds: readonly string[], options?: CallOptions): Promise<void> {
    for (let from = 0; from < userIds.length; from += PAGE) {
      const order = this.#target.nextOrder();
      const { presences } = await this.#session.call("getPresence", { userIds: userIds.slice(from, from + PAGE) }, options);
      for (const { userId, online } of presences) this.#target.apply({ type: "presence", userId, online, order });
    }
  }
}
