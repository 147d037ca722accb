import type { Draft, NewCommand } from "../queue/command.js";
import type { Confirmed, Projection } from "../queue/project.js";
import type { OperationName, RequestOf, ResponseOf } from "../session/operations.js";
import type { ConnectionState } from "../session/session.js";
import type { RoomInput } from "../state/inputs.js";
import type { RoomState } from "../state/room-state.js";
import type { RoomChanges } from "./events.js";

/** @internal Whose room it is. */
export interface Owner {
  readonly userId: string;
  readonly state: ConnectionState;
  call<Name extends OperationName>(name: Name, request: RequestOf<Name>, signal?: AbortSignal): Promise<ResponseOf<Name>>;
  send(draft: Draft): Promise<{ readonly seq: number }>;
  /** Queues a change. Resolves once it is carried out. */
  submit(command: NewCommand): Promise<unknown>;
  /** The same for a change of the contract that has no command of its own. */
  change<Name extends OperationName>(name: Name, request: RequestOf<Name>): Promise<unknown>;
  isOnline(userId: string): boolean;
  watchPresence(userIds: readonly string[]): Promise<void>;
  /** The confirmed state of a room. */
  stateOf(roomId: string): RoomState;
  apply(input: RoomInput): void;
  /** The order of an observation that is newer than all before. */
  nextOrder(): number;
  /** Applies pending commands to the confirmed state. */
  project(confirmed: Confirmed): Projection;
  happened<Name extends keyof RoomChanges>(name: Name, change: RoomChanges[Name]): void;
  hasListeners(name: keyof RoomChanges): boolean;
  /** The room has changed; it notifies its listeners at the end of the task. */
  touched(roomId: string): void;
  /** Its messages are viewed: among unwatched rooms, the most recently viewed ones keep theirs. */
  looked(roomId: string): void;
}
