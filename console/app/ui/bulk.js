/** Actions on all jobs that match a filter: counted and priced first, then watched. */
import { html, useEffect, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { count, money, plural } from "../lib/format.js";
import { usePoll } from "../lib/poll.js";
import { current, setQuery } from "../lib/router.js";
import { Dialog } from "./dialog.js";
import { Facts, LimitBar, Problem, Status } from "./parts.js";
import { act, toast } from "./toast.js";

/** What each action does, and to jobs of which status. */
const ACTIONS = /** @type {Record<string, { text: string, verb: string, statuses: string[], effect: string }>} */ ({
  cancel: { text: "Cancel", verb: "cancelled", statuses: ["pending", "processing"], effect: "Running calls are aborted and charged for what they used." },
  retry: { text: "Retry", verb: "retried", statuses: ["failed"], effect: "Each runs again under the limits of its key." },
  reprioritize: { text: "Change the priority of", verb: "moved", statuses: ["pending"], effect: "Waiting jobs move to the new priority." },
  delete: { text: "Delete", verb: "deleted", statuses: ["completed", "failed", "cancelled"], effect: "Results are gone; what they cost stays booked." },
});

/** @param {{ filter: Record<string, any>, onClose: () => void }} props filter: as the list was asked */
export function BulkDialog({ filter, onClose }) {
  const [action, setAction] = useState("cancel");
  const [priority, setPriority] = useState("low");
  const [busy, setBusy] = useState(false);
  const request = { action, filter, ...(action === "reprioritize" ? { priority } : {}) };
  const dry = usePoll((signal) => call("bulk", { body: { ...request, dry_run: true }, signal }), [request], 0);
  const { text, statuses, effect } = ACTIONS[action];
  const tally = dry.data;
  const affected = statuses.reduce((sum, status) => sum + (tally?.by_status[status] ?? 0), 0);
  async function start() {
    setBusy(true);
    try {
      setQuery({ operation: (await call("bulk", { body: request })).id });
      onClose();
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "bad");
      setBusy(false);
    }
  }
  return html`<${Dialog} title="Act on all jobs that match" onClose=${onClose}>
    <div class="pair"><label class="field">Action<select value=${action} onChange=${(/** @type {any} */ event) => setAction(event.target.value)}>${Object.entries(ACTIONS).map(([name, one]) => html`<option value=${name}>${one.text} jobs</option>`)}</select></label>
      ${action === "reprioritize" ? html`<label class="field">New priority<select value=${priority} onChange=${(/** @type {any} */ event) => setPriority(event.target.value)}>${["high", "normal", "low"].map((name) => html`<option value=${name}>${name}</option>`)}</select></label>` : null}</div>
    <${Problem} of=${dry} />
    ${tally ? html`<${Facts} facts=${[
      ["Jobs that match", count(tally.matched)],
      ["By status", Object.entries(tally.by_status).map(([status, number]) => `${count(/** @type {number} */ (number))} ${status}`).join(", ")],
      ["Estimated cost of these jobs", `at most ${money(tally.estimated_cost_usd)}${tally.unpriced ? `, and ${count(tally.unpriced)} without a known price` : ""}`],
      [`Can be ${ACTIONS[action].verb}`, html`<strong>${count(affected)}</strong>`],
    ]} />` : dry.error ? null : html`<p class="muted">Counting the jobs that match.</p>`}
    <p class="muted">${effect}</p>
    <div class="form-actions"><button onClick=${onClose}>Close</button>
      <button class=${action === "cancel" || action === "delete" ? "danger" : "primary"} disabled=${busy || !affected} onClick=${start}>${text} ${plural(affected, "job")}</button></div></${Dialog}>`;
}

const OPEN = new Set(["queued", "running"]);

/** The operation that the address names, until it is dismissed. @param {{ onChange: () => void }} props */
export function Progress({ onChange }) {
  const id = current.value.query.get("operation") ?? "";
  return id ? html`<${Operation} key=${id} id=${id} onChange=${onChange} />` : null;
}

/** @param {{ id: string, onChange: () => void }} props */
function Operation({ id, onChange }) {
  const [ended, setEnded] = useState(false);
  const live = usePoll((signal) => call("operation", { path: { operation_id: id }, signal }), [id], ended ? 0 : 1000);
  const operation = live.data;
  const open = operation && OPEN.has(operation.status);
  useEffect(() => {
    if (!operation || OPEN.has(operation.status)) return;
    setEnded(true);
    onChange();
  }, [operation?.status]);
  const handled = operation ? operation.done + operation.skipped + operation.failed : 0;
  const stop = () => act(() => call("cancelOperation", { path: { operation_id: id } }), "The operation stops.").then(live.reload);
  return html`<section class="card operation" aria-label="Bulk operation">
    <${Problem} of=${live} />
    ${operation ? html`<div class="row"><strong>${ACTIONS[operation.action].text} jobs</strong><${Status} status=${operation.status} />
        <span class="muted num">${count(handled)} of ${count(operation.matched)}${operation.skipped ? `, ${count(operation.skipped)} skipped` : ""}${operation.failed ? `, ${count(operation.failed)} refused` : ""}</span>
        <span class="muted">${operation.error?.message ?? ""}</span></div>
      <${LimitBar} label="Jobs handled" used=${operation.done} held=${operation.skipped + operation.failed} limit=${operation.matched} level="" />` : null}
    <div class="row">${open ? html`<button class="small" onClick=${stop}>Stop</button>` : null}<button class="small plain" onClick=${() => setQuery({ operation: null })}>Dismiss</button></div></section>`;
}
