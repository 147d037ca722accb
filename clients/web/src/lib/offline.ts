/** The part of Trusted Types that is used: not every browser has them, nor the types of TypeScript. */
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: () => string }): { createScriptURL(input: string): unknown };
}

/**
 * Has the browser keep this build, so that the app opens without its server: see `worker.js`. Pages without a secure
 * context, and browsers that keep nothing, do without.
 */
export function openOffline(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  const register = async () => {
    const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
    const url = trustedTypes?.createPolicy("parlance-worker", { createScriptURL: () => "sw.js" }).createScriptURL("") ?? "sw.js";
    await navigator.serviceWorker.register(url as string);
  };
  // Where a page may not store anything, it throws.
  const tryTo = () => void register().catch(() => {});
  // What is on show comes first.
  if (document.readyState === "complete") tryTo();
  else addEventListener("load", tryTo, { once: true });
}
