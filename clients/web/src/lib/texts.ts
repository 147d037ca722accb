import { en, type Texts } from "./texts/en";

interface Language {
  readonly texts: Texts;
  /** The locale of dates for readers whose own is in none of the languages. */
  readonly fallback: string;
}

/** The languages of the app. Another one is a file beside `en.ts` and a line here. */
const LANGUAGES: Record<string, Language> = {
  en: { texts: en, fallback: "en-GB" },
};
const DEFAULT = "en";

/** The first of the reader's languages that the app has, and the locale in which its dates are written. */
export function chosen(wanted: readonly string[]): Language & { readonly language: string; readonly locale: string } {
  for (const locale of wanted) {
    const [language = ""] = locale.split("-");
    const found = LANGUAGES[language.toLowerCase()];
    if (found) return { ...found, language, locale };
  }
  const language = LANGUAGES[DEFAULT]!;
  return { ...language, language: DEFAULT, locale: language.fallback };
}

export const { texts, language, locale } = chosen(globalThis.navigator?.languages ?? []);
