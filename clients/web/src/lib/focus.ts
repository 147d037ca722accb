import type { Attachment } from "svelte/attachments";

const CONTROLS = "a[href],button,input,select,textarea";

/**
 * If what has the focus is removed from a node, such as a row that was answered, the focus stays nearby instead of returning to the
 * beginning of the page. Never on a control: a key that is pressed twice would act on another row.
 */
export const keepsFocus: Attachment<HTMLElement> = (node) => {
  let last: Element | undefined;
  const focused = ({ target }: FocusEvent) => void (last = target instanceof Element ? target : undefined);
  const left = ({ target }: FocusEvent) => {
    // Some browsers say so of elements that are removed, too.
    setTimeout(() => last === target && last?.isConnected && document.activeElement !== last && (last = undefined));
  };
  const observer = new MutationObserver((records) => {
    const lost = last;
    if (!lost || lost.isConnected || !node.isConnected) return;
    last = undefined;
    if (node.contains(document.activeElement)) return;
    const record = records.find(({ removedNodes }) => [...removedNodes].some((one) => one.contains(lost)));
    const places = [...siblings(record?.nextSibling, "nextSibling"), ...siblings(record?.previousSibling, "previousSibling"), record?.target, node];
    for (const place of places) if (place instanceof HTMLElement && place.isConnected && !place.matches(CONTROLS) && takes(place)) return;
  });
  node.addEventListener("focusin", focused);
  node.addEventListener("focusout", left);
  observer.observe(node, { childList: true, subtree: true });
  return () => {
    observer.disconnect();
    node.removeEventListener("focusin", focused);
    node.removeEventListener("focusout", left);
  };
};

/** An element that takes the focus when it appears, because it says what has happened. */
export const takesFocus: Attachment<HTMLElement> = (node) => void takes(node);

/** Focuses an element that need not be a control. Returns whether it has the focus then. */
export function takes(element: HTMLElement): boolean {
  if (!element.hasAttribute("tabindex")) element.tabIndex = -1;
  element.focus();
  return document.activeElement === element;
}

function siblings(from: Node | null | undefined, way: "nextSibling" | "previousSibling"): Node[] {
  const all: Node[] = [];
  for (let one = from; one; one = one[way]) all.push(one);
  return all;
}
