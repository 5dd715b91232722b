/** Short messages about what just happened. */
import { html, signal } from "../lib/html.js";

const toasts = signal(/** @type {{ id: number, text: string, kind: string }[]} */ ([]));
let last = 0;

/** @param {string} text @param {"" | "bad"} [kind] */
export function toast(text, kind = "") {
  const id = ++last;
  toasts.value = [...toasts.value.slice(-3), { id, text, kind }];
  setTimeout(() => (toasts.value = toasts.value.filter((one) => one.id !== id)), kind === "bad" ? 8000 : 4000);
}

export const Toasts = () => html`<div class="toasts" role="status" aria-live="polite">
  ${toasts.value.map((one) => html`<div key=${one.id} class=${`toast ${one.kind}`}>${one.text}</div>`)}</div>`;

/**
 * Do something and report how it went.
 * @param {() => Promise<unknown>} action @param {string} done
 * @returns {Promise<boolean>} whether it worked
 */
export async function act(action, done) {
  try {
    await action();
    toast(done);
    return true;
  } catch (error) {
    toast(/** @type {Error} */ (error).message, "bad");
    return false;
  }
}
