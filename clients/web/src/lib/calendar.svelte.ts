import { dayOf } from "./time";

/** The present day, as a value that templates depend on. */
class Calendar {
  /** Some time of the present day, where the reader is. */
  today = $state.raw(new Date());
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#turn();
    // Timers of a page in the background, or of a computer that slept, are late.
    addEventListener("focus", () => this.#turn());
    document.addEventListener("visibilitychange", () => this.#turn());
  }

  #turn(): void {
    const now = new Date();
    if (dayOf(now) !== dayOf(this.today)) this.today = now;
    const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#turn(), midnight.getTime() - now.getTime());
  }
}

export const calendar = new Calendar();
