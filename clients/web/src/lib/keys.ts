/** Safari's key code for a key consumed by an input method, without `isComposing`, because it ends the composition
 * first. */
const TAKEN_BY_INPUT_METHOD = 229;

/** Whether a key belongs to an input method, such as the Enter that accepts a candidate: the page must ignore it. */
export function isOfInputMethod(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === TAKEN_BY_INPUT_METHOD;
}
