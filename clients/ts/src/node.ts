/**
 * A file storage, for Node only.
 *
 * @module
 */
export { FileStorage } from "./storage/files.js";
