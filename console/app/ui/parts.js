/** Small parts that every page uses. */
import { html, useState } from "../lib/html.js";
import { ago, moment, shortId } from "../lib/format.js";
import { toast } from "./toast.js";

const MARKS = /** @type {Record<string, string>} */ ({
  completed: "good", closed: "good", active: "good", delivered: "good", ok: "good", resolved: "good",
  failed: "bad", open: "bad", revoked: "bad", firing: "bad", expired: "bad",
  cancelled: "warn", warning: "warn", cancelling: "warn", half_open: "warn", paused: "warn", disabled: "warn",
  pending: "", queued: "", processing: "live", running: "live", in_progress: "live", validating: "live", finalizing: "live",
});

/** @param {{ status: string }} props */
export const Status = ({ status }) => html`<span class=${`badge ${MARKS[status] ?? ""}`}>${status.replace(/_/g, " ")}</span>`;

/** @param {{ at?: string | null }} props */
export const When = ({ at }) => html`<time class="nowrap" datetime=${at ?? ""} title=${moment(at)}>${ago(at)}</time>`;

/** @param {{ id: string }} props */
export const Id = ({ id }) => html`<span class="mono nowrap" title=${id}>${shortId(id)}</span>`;

/** @param {{ title: string, sub?: any, children?: any }} props */
export const PageHead = ({ title, sub, children }) => html`
  <div class="page-head"><h1 tabindex="-1">${title}</h1>${sub ? html`<span class="sub">${sub}</span>` : null}
    ${children ? html`<div class="actions">${children}</div>` : null}</div>`;

/** @param {{ title?: string, actions?: any, pad?: boolean, children?: any }} props */
export const Card = ({ title, actions, pad = true, children }) => html`
  <div class="card">
    ${title ? html`<header><h2>${title}</h2>${actions ? html`<div class="actions">${actions}</div>` : null}</header>` : null}
    ${pad ? html`<div class="body">${children}</div>` : children}
  </div>`;

/** @param {{ label: string, value: any, note?: any, href?: string, bad?: boolean }} props */
export function Stat({ label, value, note, href, bad }) {
  const inside = html`<div class="label">${label}</div><div class="value">${value}</div><div class="note-text muted">${note ?? ""}</div>`;
  const look = `card stat ${bad ? "bad" : ""}`;
  return href ? html`<a class=${look} href=${href}>${inside}</a>` : html`<div class=${look}>${inside}</div>`;
}

/** @param {{ title: string, children?: any }} props */
export const Empty = ({ title, children }) => html`<div class="empty"><strong>${title}</strong>${children}</div>`;

export const Loading = () => html`<div aria-busy="true" aria-label="Loading">${[70, 90, 50].map((width) => html`<div class="skeleton" style=${{ width: `${width}%` }}></div>`)}</div>`;

/** What went wrong, beside data that may be old. @param {{ of: { error: any, stale: boolean, reload: () => void } }} props of: what usePoll or usePages returns */
export function Problem({ of: { error, stale, reload } }) {
  if (!error) return null;
  const text = error.code === "store_unavailable" ? `The store does not answer. ${error.message}` : error.message;
  return html`<div class=${`note ${stale || error.status < 0 ? "warn" : "bad"}`} role="alert">
    <span>${text}${stale ? " Showing the last data received." : ""}</span>
    <button class="small plain" onClick=${reload}>Try again</button></div>`;
}

/** @param {{ text: string, label?: string }} props */
export function Copy({ text, label = "Copy" }) {
  const [copied, setCopied] = useState(false);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch {
      toast("The browser does not allow copying here.", "bad");
    }
  }
  return html`<button class="small" onClick=${copy}>${copied ? "Copied" : label}</button>`;
}

/** @param {{ options: [string, string][], value: string, label: string, onChange: (value: string) => void }} props */
export const Segmented = ({ options, value, label, onChange }) => html`
  <div class="segmented" role="group" aria-label=${label}>
    ${options.map(([key, text]) => html`<button type="button" aria-pressed=${String(key === value)} onClick=${() => onChange(key)}>${text}</button>`)}
  </div>`;

/** Share of a limit: spent, then reserved. @param {{ used: number, held: number, limit: number, label?: string, level?: string }} props */
export function LimitBar({ used, held, limit, label = "Used share of the limit", level }) {
  const share = limit ? (100 * (used + held)) / limit : 0;
  level ??= share >= 100 ? "bad" : share >= 80 ? "warn" : "";
  const width = (/** @type {number} */ value) => ({ width: limit && value ? `max(2px, ${Math.min(100, (100 * value) / limit)}%)` : 0 });
  return html`<div class=${`bar ${level}`} role="meter" aria-valuemin="0" aria-valuemax=${limit} aria-valuenow=${used + held} aria-label=${label}>
    <i style=${width(used)}></i><i class="held" style=${width(held)}></i></div>`;
}

/** @param {{ facts: [string, any][] }} props */
export const Facts = ({ facts }) => html`<dl class="facts">${facts
  .filter(([, value]) => value !== null && value !== undefined && value !== "")
  .map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
