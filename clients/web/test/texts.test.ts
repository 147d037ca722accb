import { expect, test } from "vitest";

import { type Emoji, matchingEmoji } from "../src/lib/emoji";
import { beginningOf } from "../src/lib/folding.svelte";
import { isOfInputMethod } from "../src/lib/keys";
import { bytesLeft } from "../src/lib/limits";
import { Loader } from "../src/lib/loader";
import { linesOf, type Note } from "../src/lib/notes";
import { PageStorage } from "../src/lib/storage";
import { plainText } from "../src/lib/formatting.svelte";
import { chosen } from "../src/lib/texts";
import { grammar } from "../src/lib/texts/grammar";
import { narrowTimeOf } from "../src/lib/time";
import { emojiFile } from "../vite.config";

test("dates are written in the language of the texts, in the reader's own form of it", () => {
  expect(chosen(["de-DE", "en-US", "fr"])).toMatchObject({ language: "en", locale: "en-US" });
  expect(chosen(["de-DE"])).toMatchObject({ language: "en", locale: "en-GB" });
  expect(chosen([])).toMatchObject({ language: "en", locale: "en-GB" });
});

test("plurals follow the rules of the language", () => {
  const { plural } = grammar("pl");
  const forms = { one: "# plik", few: "# pliki", many: "# plików", other: "# pliku" };
  expect([1, 3, 5, 22, 1.5].map((count) => plural(count, forms))).toEqual(["1 plik", "3 pliki", "5 plików", "22 pliki", "1,5 pliku"]);
});

test.each(["en-US", "ko-KR", "en-GB", "ar-EG"])("in a narrow place the time of %s has no day period", (locale) => {
  const format = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
  expect(narrowTimeOf(new Date(2026, 4, 1, 0, 20), format)).toMatch(/^[\p{Nd}]{1,2}:[\p{Nd}]{2}$/u);
});

test("a storage that throws, is missing or full keeps values as long as the page", () => {
  const broken: (() => Storage)[] = [
    () => {
      throw new DOMException("denied", "SecurityError");
    },
    () => null as unknown as Storage,
    () => ({ getItem: () => null, setItem: () => { throw new DOMException("full", "QuotaExceededError"); }, removeItem() {} }) as unknown as Storage,
  ];
  for (const native of broken) {
    const storage = new PageStorage(native);
    expect(storage.get("a/1")).toBeUndefined();
    storage.set("a/1", "x");
    storage.set("b/1", "y");
    expect(storage.get("a/1")).toBe("x");
    expect(storage.keys("a/")).toEqual(["a/1"]);
    storage.remove("a/1");
    expect(storage.get("a/1")).toBeUndefined();
  }
});

test("a failed load is tried again, a successful one is kept", async () => {
  let count = 0;
  const loader = new Loader(async () => {
    count += 1;
    if (count === 1) throw new Error("offline");
    return count;
  });
  await expect(loader.load()).rejects.toThrow("offline");
  expect(await loader.load()).toBe(2);
  expect(await loader.load()).toBe(2);
});

test("a short code finds its emoji before all that only have to do with it", () => {
  const file = JSON.parse(emojiFile()) as { emoji: [string, string, string[], string[]][] }[];
  const all: Emoji[] = file.flatMap((group) => group.emoji.map(([emoji, label, codes, tags]) => ({ emoji, label, codes, tags })));
  const first = (word: string) => matchingEmoji(all, word, 8)[0]?.emoji.replace("\uFE0F", "");
  expect(["heart", "tada", "+1", "fire", "smile", "party popper", "thumbs up", "Heart"].map(first)).toEqual(
    ["❤", "🎉", "👍", "🔥", "😄", "🎉", "👍", "❤"],
  );
  expect(matchingEmoji(all, "no such emoji", 8)).toEqual([]);
});

test("only very tall or long messages have a beginning of their own", () => {
  expect(beginningOf("x\n".repeat(39))).toBeUndefined();
  expect(beginningOf("x".repeat(3_000))).toBeUndefined();
  expect(beginningOf("x\n".repeat(200))!.split("\n").length).toBe(20);
  expect(beginningOf("x\u2028".repeat(200))!.split("\u2028").length).toBe(20);
  expect(beginningOf("🎉".repeat(2_000))).toMatch(/^(🎉)+…$/u);
  expect(beginningOf(`x${"🎉".repeat(2_000)}`)).toMatch(/^x(🎉)+…$/u);
});

test("bytes are counted where few are left", () => {
  expect(bytesLeft("x".repeat(10_000))).toBeUndefined();
  expect(bytesLeft("x".repeat(16_000))).toBe(384);
  expect(bytesLeft("x".repeat(16_384))).toBe(0);
  expect(bytesLeft("x".repeat(17_000))).toBe(-616);
  expect(bytesLeft("ü".repeat(8_193))).toBe(-2);
  expect(bytesLeft("🎉".repeat(4_096))).toBe(0);
});

test("a key of an input method is known in every order of browsers", () => {
  const key = (isComposing: boolean, keyCode: number) => ({ isComposing, keyCode }) as KeyboardEvent;
  expect(isOfInputMethod(key(true, 229))).toBe(true);
  expect(isOfInputMethod(key(true, 13))).toBe(true);
  // Safari ends the composition before the key that ended it.
  expect(isOfInputMethod(key(false, 229))).toBe(true);
  expect(isOfInputMethod(key(false, 13))).toBe(false);
});

test("plain text has the names of those who are mentioned", () => {
  const names = { knows: (id: string) => id === "bob", name: (id: string) => (id === "bob" ? "Bob Martin" : id) };
  expect(plainText("ask @bob. Or @carol, bob@bob.com?", names)).toBe("ask @Bob Martin. Or @carol, bob@bob.com?");
});

test("notes of one kind make one line, and of many people only some are named", () => {
  const note = (seq: number, actorId: string, what: Note["what"]): Note => ({ seq, at: new Date(0), actorId, what });
  const added = (seq: number, userId: string) => note(seq, "ann", { kind: "added", userId });
  const lines = linesOf(
    [
      note(1, "ann", { kind: "created" }),
      note(2, "ann", { kind: "joined", userId: "ann" }),
      ...["b", "c", "d", "e", "f", "g"].map((userId, index) => added(3 + index, userId)),
      note(9, "b", { kind: "left", userId: "b" }),
      note(10, "c", { kind: "left", userId: "c" }),
      note(11, "ann", { kind: "admin", userId: "d" }),
    ],
    (userId) => userId.toUpperCase(),
  );
  expect(lines).toEqual(["ANN created the conversation", "ANN added B, C, D, E, and 2 others", "B and C left", "ANN made D an admin"]);
  const many = Array.from({ length: 20 }, (_, index) => note(index, "ann", { kind: index % 2 ? "added" : "removed", userId: "b" }));
  expect(linesOf(many, (userId) => userId)).toHaveLength(7);
});
