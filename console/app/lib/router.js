/** The address is the state: pages, filters, ranges and selections live in the URL. */
import { signal } from "./html.js";

export const BASE = "/ui";

/** @typedef {{ path: string, query: URLSearchParams }} Place */

function read() {
  const path = location.pathname.startsWith(BASE) ? location.pathname.slice(BASE.length) || "/" : "/";
  return { path, query: new URLSearchParams(location.search) };
}

export const current = signal(read());
addEventListener("popstate", () => (current.value = read()));

/** @param {string} path with its query, below /ui @param {{ replace?: boolean }} [options] */
export function navigate(path, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", BASE + path);
  current.value = read();
  if (!replace) scrollTo(0, 0);
}

/** Change parts of the query in place; empty values are removed. @param {Record<string, string | string[] | null>} changes */
export function setQuery(changes) {
  const query = new URLSearchParams(current.value.query);
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const item of Array.isArray(value) ? value : [value]) if (item) query.append(name, item);
  }
  const text = query.toString();
  navigate(current.value.path + (text ? `?${text}` : ""), { replace: true });
}

/** Follow links inside the console without loading the page anew. @param {MouseEvent} event */
export function followLink(event) {
  const link = /** @type {HTMLElement} */ (event.target).closest?.("a[href]");
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || !(link.pathname === BASE || link.pathname.startsWith(`${BASE}/`))) return;
  event.preventDefault();
  navigate(link.pathname.slice(BASE.length) + link.search || "/");
}
