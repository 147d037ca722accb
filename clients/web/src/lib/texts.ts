import { en, type Texts } from "./texts/en";

interface Language {
  readonly texts: Texts;
  /** The locale of dates for readers with an unsupported language. */
  readonly fallback: string;
}

/** The languages of the app. To add one, create a file next to `en.ts` and add a line here. */
const LANGUAGES: Record<string, Language> = {
  en: { texts: en, fallback: "en-GB" },
};
const DEFAULT = "en";

/** The first supported language of the reader, and the locale of its dates. */
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
