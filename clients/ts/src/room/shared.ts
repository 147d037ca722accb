import { pages } from "../session/pages.js";
import { changed, changeOf, messageWith, withForm } from "../state/changes.js";
import { endOf } from "../state/until.js";
import { receiptOf } from "./info.js";
import { messageOf, positionOf } from "./message.js";

/** What the module of views uses of the first one: if it imported that, there would be a third, one more to load for every page. */
export const SHARED = { changed, changeOf, endOf, messageOf, messageWith, pages, positionOf, receiptOf, withForm };

/** See {@link SHARED}. */
export type Shared = typeof SHARED;
