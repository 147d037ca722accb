import { existsSync } from "node:fs";

/** The shell is Chromium without windows, and takes half of its processor time. */
const PLACES = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium", "/usr/bin/google-chrome"];

/** How tests launch Chromium. */
export const CHROMIUM = {
  executablePath: process.env["CHROMIUM"] ?? PLACES.find(existsSync) ?? "chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
};
