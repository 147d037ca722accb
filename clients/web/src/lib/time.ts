const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const withYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

const DAY_MS = 86_400_000;

/** Days since the epoch, where the reader is. */
export function dayOf(at: Date): number {
  return Math.floor((at.getTime() - at.getTimezoneOffset() * 60_000) / DAY_MS);
}

export const timeOf = (at: Date): string => clock.format(at);
export const exactly = (at: Date): string => full.format(at);

/** A day as its heading: today, yesterday, Monday, 3 May, 3 May 2020. */
export function dayName(at: Date, now = new Date()): string {
  const ago = dayOf(now) - dayOf(at);
  if (ago < 2) return capitalised(relative.format(-ago, "day"));
  return ago < 180 ? weekday.format(at) : withYear.format(at);
}

/** As short as a list of rooms wants it. */
export function briefly(at: Date, now = new Date()): string {
  return dayOf(now) === dayOf(at) ? clock.format(at) : short.format(at);
}

const capitalised = (text: string) => text.charAt(0).toLocaleUpperCase() + text.slice(1);
