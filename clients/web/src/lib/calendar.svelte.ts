import { dayOf } from "./time";

/** The current day, as a reactive value. */
class Calendar {
  /** Some time of the current day, in the reader's time zone. */
  today = $state.raw(new Date());
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#turn();
    // Timers of a background page, or of a computer that slept, fire late.
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
