/** The plural forms of a phrase; `#` is replaced by the number. */
export type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { readonly other: string };

/** Functions for building the texts of a language. */
export interface Grammar {
  /** A number with the digits and grouping of the language. */
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
    // A function, so that `$&` in a number's text is not interpreted.
    plural: (count, forms) => (forms[rules.select(count)] ?? forms.other).replaceAll("#", () => number(count)),
    list: (items) => lists.format(items),
  };
}
