/**
 * What only Node has: a store in files.
 *
 * @module
 */
export { FileStorage } from "./storage/files.js";
