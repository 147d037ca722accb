import { untrack } from "svelte";

import type { Chat } from "./chat.svelte";
import { messageOf } from "./errors";
import { texts } from "./texts";

/** What became of a request: `late` if the dialog was closed before it was done, or is about something else by then. */
export type Outcome = "done" | "late" | "failed";

/**
 * A form that asks the server for something, once at a time. An answer belongs to what the form was about when it was sent: later
 * it neither closes nor changes it.
 */
export class Form {
  readonly #chat: Chat;
  #turn = 0;
  isBusy = $state(false);
  /** Why the last request was refused. */
  problem = $state("");

  /**
   * Must be called during the initialisation of a component. `about` is what the form is about, falsy while it is closed. `begin` fills
   * it in then; what it reads is not followed, because it would replace what is typed.
   */
  constructor(chat: Chat, about: () => unknown, begin: () => void = () => {}) {
    this.#chat = chat;
    const subject = $derived(about());
    $effect(() => {
      if (!subject) return;
      untrack(() => {
        [this.isBusy, this.problem] = [false, ""];
        begin();
      });
      return () => void (this.#turn += 1);
    });
  }

  /** Does `work`. What was refused stays in the form, to be corrected; if that is closed by then, it is reported like other problems. */
  async submit(failure: string, work: () => Promise<unknown>): Promise<Outcome> {
    if (this.isBusy) return "failed";
    const turn = this.#turn;
    [this.isBusy, this.problem] = [true, ""];
    try {
      await work();
      return turn === this.#turn ? "done" : "late";
    } catch (error) {
      const problem = texts.app.problem(failure, messageOf(error));
      if (turn === this.#turn) this.problem = problem;
      else this.#chat.problem = problem;
      return "failed";
    } finally {
      if (turn === this.#turn) this.isBusy = false;
    }
  }

  /** Sends what was changed, with `send`. If that is nothing, it is done at once. */
  async save<T extends object>(failure: string, change: T, send: (change: T) => Promise<unknown>): Promise<Outcome> {
    return Object.keys(change).length === 0 ? "done" : this.submit(failure, () => send(change));
  }
}

/** The values that differ from those before: what nobody has changed in a form is not written over what others have changed. */
export function changed<T extends object>(before: T, after: T): Partial<T> {
  return Object.fromEntries(Object.entries(after).filter(([name, value]) => value !== before[name as keyof T])) as Partial<T>;
}

/** Does `work` with each, also after one has failed. Returns those that failed, and why. */
export async function tryEach<T>(all: readonly T[], work: (one: T) => Promise<unknown>): Promise<{ one: T; error: unknown }[]> {
  const failed: { one: T; error: unknown }[] = [];
  for (const one of all) await work(one).catch((error: unknown) => failed.push({ one, error }));
  return failed;
}
