declare module "virtual:emoji" {
  /** The URL of the emoji: JSON, in the form of `EmojiFile`. */
  const url: string;
  export default url;
}
