import { locale } from "./texts";

// From the reader's own settings, whatever the language of the texts.
const { hourCycle } = new Intl.DateTimeFormat(undefined, { hour: "numeric" }).resolvedOptions();
const cycle = hourCycle && { hourCycle };

const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", ...cycle });
const weekday = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
const withYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const shortWithYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric" });
const full = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium", ...cycle });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

const DAY_MS = 86_400_000;

/** Days since the epoch, in the reader's time zone. */
export function dayOf(at: Date): number {
  return Math.floor((at.getTime() - at.getTimezoneOffset() * 60_000) / DAY_MS);
}

export const timeOf = (at: Date): string => clock.format(at);
export const exactly = (at: Date): string => full.format(at);

/** The time without "AM" and "PM", for narrow places. */
export function narrowTimeOf(at: Date, format = clock): string {
  const parts = format.formatToParts(at).filter(({ type }) => type !== "dayPeriod");
  return parts.map(({ value }) => value).join("").trim();
}

/** A day as its heading: today, yesterday, Monday, 3 May, 3 May 2020. */
export function dayName(at: Date, today: Date): string {
  const ago = dayOf(today) - dayOf(at);
  if (ago < 2) return capitalised(relative.format(-ago, "day"));
  return ago < 180 ? weekday.format(at) : withYear.format(at);
}

/** A short form for the list of rooms: a time of today, else a day, of another year with that. */
export function briefly(at: Date, today: Date): string {
  if (dayOf(today) === dayOf(at)) return clock.format(at);
  return at.getFullYear() === today.getFullYear() ? short.format(at) : shortWithYear.format(at);
}

const capitalised = (text: string) => text.charAt(0).toLocaleUpperCase(locale) + text.slice(1);
