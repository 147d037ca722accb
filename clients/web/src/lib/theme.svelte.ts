import { shared } from "./storage";

const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "parlance:theme";

/** Light or dark, according to the user's choice or the system. */
class Appearance {
  theme = $state<Theme>(THEMES.find((theme) => theme === shared.get(KEY)) ?? "system");

  constructor() {
    this.#apply();
  }

  choose(theme: Theme): void {
    this.theme = theme;
    shared.set(KEY, theme);
    this.#apply();
  }

  #apply(): void {
    if (this.theme === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = this.theme;
  }
}

export const appearance = new Appearance();
