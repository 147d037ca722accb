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
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  const url = trustedTypes?.createPolicy("parlance-worker", { createScriptURL: () => "sw.js" }).createScriptURL("") ?? "sw.js";
  const register = () => void navigator.serviceWorker.register(url as string).catch(() => {});
  // What is on show comes first.
  if (document.readyState === "complete") register();
  else addEventListener("load", register, { once: true });
}
