declare module "virtual:emoji" {
  /** Each as the emoji, its label, and words to find it by. */
  const groups: readonly { name: string; emoji: readonly (readonly [string, string, string])[] }[];
  export default groups;
}
