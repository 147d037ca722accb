declare module "virtual:emoji" {
  /** Where the emoji are: JSON, in the form of `EmojiFile`. */
  const url: string;
  export default url;
}
