import type { Session } from "../session/session.js";
import { whileOnline } from "../session/while-online.js";
import type { OperationName, RequestOf, ResponseOf } from "../session/operations.js";
import type { Input } from "../state/inputs.js";
import type { State } from "../state/state.js";

/** Interval of presence queries: signals may be lost. */
const EVERY_MS = 60_000;
const PAGE = 100;

type Ask = <Name extends OperationName>(name: Name, request: RequestOf<Name>) => Promise<ResponseOf<Name>>;

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
    return this.#ask(userIds, (name, request) => this.#session.call(name, request));
  }

  /** Queries what signals may have missed, on this connection only. */
  lookUp(): Promise<void> {
    return this.#ask([...this.#target.confirmed.presence.keys()], (name, request) => this.#session.callNow(name, request));
  }

  signal(userId: string, online: boolean): void {
    this.#target.apply({ type: "presence", userId, online, order: this.#target.nextOrder() });
  }

  async #ask(userIds: readonly string[], ask: Ask): Promise<void> {
    for (let from = 0; from < userIds.length; from += PAGE) {
      const order = this.#target.nextOrder();
      const { presences } = await ask("getPresence", { userIds: userIds.slice(from, from + PAGE) });
      for (const { userId, online } of presences) this.#target.apply({ type: "presence", userId, online, order });
    }
  }
}
