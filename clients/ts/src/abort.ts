/** Calls `aborted` with the reason when the signal is aborted, immediately if it already is. Returns a function that
 * cancels that. */
export function onAbort(signal: AbortSignal | undefined, aborted: (reason: unknown) => void): () => void {
  const listener = () => aborted(signal?.reason);
  signal?.addEventListener("abort", listener, { once: true });
  if (signal?.aborted) listener();
  return () => signal?.removeEventListener("abort", listener);
}
