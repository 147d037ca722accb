import { messageOf, positionOf } from "../room/message.js";
import { changed, changeOf, messageWith, withForm } from "./changes.js";

/**
 * How messages are read and changed, for modules that are loaded on demand: imported there, it would be a module of its own, one more to
 * load for every page.
 */
export const FORMS = { changed, changeOf, messageOf, messageWith, positionOf, withForm };

/** See {@link FORMS}. */
export type Forms = typeof FORMS;
