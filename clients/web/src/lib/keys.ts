/** What Safari says of a key that an input method has taken, without `isComposing`: it ends the composition first. */
const TAKEN_BY_INPUT_METHOD = 229;

/** Whether a key belongs to an input method, such as the Enter that takes a candidate: it means nothing to the page. */
export function isOfInputMethod(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === TAKEN_BY_INPUT_METHOD;
}
