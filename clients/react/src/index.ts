/**
 * Parlance for React: a headless provider, and hooks over the slices of
 * `@parlance/client`.
 *
 * @module
 */
export { useClientEvent, useRoomEvent } from "./events.js";
export { type OwnInvitations, useInvitations } from "./invitations.js";
export { type Messages, useMessages } from "./messages.js";
export { useOnline } from "./presence.js";
export { ParlanceProvider, type ParlanceProviderProps, useClient } from "./provider.js";
export { useArchivedRooms, useConnection, useHiddenRooms, useRooms, useUnread } from "./lists.js";
export { useMembers, useReceipts, useRoom, useRoomInfo, useTyping } from "./room.js";
