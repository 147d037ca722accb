/** The used part of Trusted Types, which not all browsers and no TypeScript types have. */
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: () => string }): { createScriptURL(input: string): unknown };
}

/**
 * Makes the browser cache this build, so that the app opens without its server: see `worker.js`. Pages without a
 * secure context, and browsers without storage, do without.
 */
export function openOffline(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  const register = async () => {
    const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
    const url = trustedTypes?.createPolicy("parlance-worker", { createScriptURL: () => "sw.js" }).createScriptURL("") ?? "sw.js";
    await navigator.serviceWorker.register(url as string);
  };
  // On pages that may not store anything, it throws.
  const tryTo = () => void register().catch(() => {});
  // Visible content comes first.
  if (document.readyState === "complete") tryTo();
  else addEventListener("load", tryTo, { once: true });
}
