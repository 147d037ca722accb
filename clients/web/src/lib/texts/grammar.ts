/** The plural forms of a phrase; `#` stands for the number. */
export type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { readonly other: string };

/** What the texts of a language are built with. */
export interface Grammar {
  /** A number in the digits and groups of the language. */
  number(count: number): string;
  plural(count: number, forms: Forms): string;
  /** "Ann, Bob and Carol". */
  list(items: readonly string[]): string;
}

export function grammar(locale: string): Grammar {
  const rules = new Intl.PluralRules(locale);
  const numbers = new Intl.NumberFormat(locale);
  const lists = new Intl.ListFormat(locale, { type: "conjunction" });
  const number = (count: number) => numbers.format(count);
  return {
    number,
    // A function, so that `$&` in a number's text means nothing.
    plural: (count, forms) => (forms[rules.select(count)] ?? forms.other).replaceAll("#", () => number(count)),
    list: (items) => lists.format(items),
  };
}
