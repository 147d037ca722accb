import { readdirSync, readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import type { Input } from "../src/state/inputs.js";
import { isStale } from "../src/state/room-state.js";
import { Random, seeds } from "./random.js";
import { Reader, viewOf } from "./reader.js";
import { type Line, sourcesOf, trueRoom } from "./recording.js";

const folder = new URL("recordings/", import.meta.url);
const linesOf = (file: string): Line[] => readFileSync(new URL(file, folder), "utf8").trim().split("\n").map((line) => JSON.parse(line));

describe.each(readdirSync(folder).filter((file) => file.endsWith(".jsonl")))("%s", (file) => {
  const { userId, stream, others, truth } = sourcesOf(linesOf(file));

  function play(inputs: readonly Input[]): void {
    const reader = new Reader(userId);
    for (const input of inputs) reader.take(input);
    for (const { roomId, messages, view } of truth.rooms.map(trueRoom)) {
      const room = reader.room(roomId)!;
      const { receipts: _, ...shown } = viewOf(room);
      expect(shown).toEqual(view);
      expect(reader.messages(roomId)).toEqual(messages);
      expect(reader.last(roomId)).toEqual(messages.at(-1));
      expect(isStale(room)).toBe(false);
    }
  }

  test("as it was received", () => play([...interleaved(linesOf(file))]));

  test("everything twice, at once and at the end", () => {
    const inputs = interleaved(linesOf(file));
    play(inputs.flatMap((input) => [input, input]));
    play([...inputs, ...inputs.filter(({ type }) => type !== "gap" && type !== "welcome")]);
  });

  test("the stream first, or last", () => {
    play([...stream, ...others]);
    play([...others, ...stream]);
  });

  test("answers and signals at any time, in any order, once or twice", () => {
    seeds(150, (random: Random) => {
      const twice = others.flatMap((input) => (random.chance(0.2) ? [input, input] : [input]));
      play(random.interleave([stream, ...random.shuffle(twice).map((input) => [input])]));
    });
  });

  test("events again, at any later time", () => {
    seeds(50, (random: Random) => {
      const again = stream.filter(({ type }) => type === "event" && random.chance(0.3));
      play([...random.interleave([stream, random.shuffle(others)]), ...random.shuffle(again)]);
    });
  });
});

/** Inputs in the order of the recording. */
function interleaved(lines: readonly Line[]): Input[] {
  const inputs: Input[] = [];
  let [streamed, answered] = [0, 0];
  const all = sourcesOf(lines);
  lines.forEach((line, at) => {
    if (!("in" in line)) return;
    const until = sourcesOf([...lines.slice(0, at + 1), { truth: all.truth }]);
    inputs.push(...all.stream.slice(streamed, until.stream.length), ...all.others.slice(answered, until.others.length));
    [streamed, answered] = [until.stream.length, until.others.length];
  });
  return inputs;
}
