/** What the device reports about its network and the page. */
export interface HostEvents {
  /** Whether the device says that it has no network. `false` where it does not say. */
  isOffline(): boolean;
  /** Calls the listener until the returned function is called. */
  watch(listener: HostListener): () => void;
}

export interface HostListener {
  /** A network is back. */
  online(): void;
  /** No network any more. */
  offline(): void;
  /** The page is shown again: it may have been frozen meanwhile. */
  shown(): void;
  /** The page is hidden, and may end without another word. */
  hidden(): void;
}

/** The events of a browser. In Node there are none. */
export const browserEvents: HostEvents = {
  isOffline: () => globalThis.navigator?.onLine === false,
  watch({ online, offline, shown, hidden }) {
    const visible = () => (globalThis.document?.visibilityState === "hidden" ? hidden() : shown());
    // Workers have no document, and Node has no global events.
    const page = "addEventListener" in globalThis ? globalThis : undefined;
    const targets: [EventTarget | undefined, string, () => void][] = [
      [page, "online", online],
      [page, "offline", offline],
      [page, "pageshow", shown],
      [page, "pagehide", hidden],
      [globalThis.document, "visibilitychange", visible],
      [globalThis.document, "resume", shown],
    ];
    for (const [target, name, run] of targets) target?.addEventListener(name, run);
    return () => {
      for (const [target, name, run] of targets) target?.removeEventListener(name, run);
    };
  },
};
