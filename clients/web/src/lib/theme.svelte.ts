export type Theme = "system" | "light" | "dark";

const KEY = "parlance:theme";

/** Light or dark, as the reader wishes or as their system has it. */
class Appearance {
  theme = $state((localStorage.getItem(KEY) ?? "system") as Theme);

  constructor() {
    this.#apply();
  }

  choose(theme: Theme): void {
    this.theme = theme;
    localStorage.setItem(KEY, theme);
    this.#apply();
  }

  #apply(): void {
    if (this.theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = this.theme;
  }
}

export const appearance = new Appearance();
