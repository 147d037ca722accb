import { type DescMessage, ScalarType } from "@bufbuild/protobuf";

/** A request in which 64-bit fields may be given as safe integers. */
export type WithNumbers<T> = T extends bigint
  ? bigint | number
  : T extends Uint8Array
    ? T
    : T extends readonly (infer Element)[]
      ? WithNumbers<Element>[]
      : T extends object
        ? { [Key in keyof T]: WithNumbers<T[Key]> }
        : T;

const LONG: readonly ScalarType[] = [
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
];

/** The fields of a message with 64-bit ones as bigint. Throws a RangeError for numbers that are not integers. */
export function withBigints(message: DescMessage, init: unknown): unknown {
  if (typeof init !== "object" || init === null) return init;
  const values: Record<string, unknown> = { ...init };
  for (const field of message.fields) {
    const name = field.oneof?.localName ?? field.localName;
    const value = values[name];
    if (value === undefined) continue;
    const convert = (one: unknown): unknown => {
      if (field.fieldKind === "scalar" || field.fieldKind === "list") {
        if (field.scalar !== undefined && LONG.includes(field.scalar) && typeof one === "number") return BigInt(one);
      }
      return (field.fieldKind === "message" || field.fieldKind === "list") && field.message ? withBigints(field.message, one) : one;
    };
    if (field.oneof) {
      const chosen = value as { case?: string; value?: unknown };
      if (chosen.case === field.localName) values[name] = { case: chosen.case, value: convert(chosen.value) };
    } else values[name] = Array.isArray(value) ? value.map(convert) : convert(value);
  }
  return values;
}
