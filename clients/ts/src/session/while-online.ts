import type { Session } from "./session.js";

/** Repeats `task` while the session is online, one run at a time. A failed run is followed by the next one. */
export function whileOnline(session: Session, everyMs: number, task: () => Promise<unknown>): void {
  let cancel = () => {};
  let isRunning = false;
  const next = () => {
    cancel();
    cancel = session.clock.after(everyMs, () => void run());
  };
  const run = async () => {
    if (isRunning) return;
    isRunning = true;
    await task().catch(() => {});
    isRunning = false;
    if (session.state.status === "online") next();
  };
  session.on("state", ({ status }) => (status === "online" ? next() : cancel()));
}
