/**
 * Parlance for Svelte 5: templates and effects that read a client or a room rerun when what they read changes.
 *
 * @module
 */
export { invitations } from "./invitations";
export { live } from "./live";
export { online, slice } from "./slices";
