import type { Answer } from "./request.js";

interface Waiter {
  resolve: (answer: Answer | undefined) => void;
  reject: (error: unknown) => void;
}

/** Callers waiting for the outcome of commands, by id. */
export class Waiters {
  readonly #waiters = new Map<string, Waiter[]>();

  /** The outcome of a command. Ignoring it is safe: the command reports it, too. */
  add(id: string): Promise<Answer | undefined> {
    const outcome = new Promise<Answer | undefined>((resolve, reject) => {
      this.#waiters.set(id, [...(this.#waiters.get(id) ?? []), { resolve, reject }]);
    });
    outcome.catch(() => {});
    return outcome;
  }

  /** The command was replaced: its outcome is that of another one. */
  follow(id: string, other: string): void {
    const moved = this.#take(id);
    if (moved.length > 0) this.#waiters.set(other, [...(this.#waiters.get(other) ?? []), ...moved]);
  }

  resolve(id: string, answer: Answer | undefined): void {
    for (const waiter of this.#take(id)) waiter.resolve(answer);
  }

  reject(id: string, error: unknown): void {
    for (const waiter of this.#take(id)) waiter.reject(error);
  }

  rejectAll(error: unknown): void {
    for (const id of [...this.#waiters.keys()]) this.reject(id, error);
  }

  #take(id: string): Waiter[] {
    const waiters = this.#waiters.get(id) ?? [];
    this.#waiters.delete(id);
    return waiters;
  }
}
