/** The device's reports about its network and the page. */
export interface HostEvents {
  /** Whether the device reports that it has no network. `false` if it does not
   * report. */
  isOffline(): boolean;
  /** Calls the listener until the returned function is called. */
  watch(listener: HostListener): () => void;
}

export interface HostListener {
  /** The network is back. */
  online(): void;
  /** The network is gone. */
  offline(): void;
  /** The page is visible again: it may have been frozen meanwhile. */
  shown(): void;
  /** The page is hidden, and may end without further notice. */
  hidden(): void;
}

/** Events of a browser. None in Node. */
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
