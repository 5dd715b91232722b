/** Which jobs are there, and what should happen to them? */
import { html, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { duration, epoch, plural } from "../lib/format.js";
import { usePages } from "../lib/poll.js";
import { session } from "../lib/session.js";
import { BulkDialog, Progress } from "../ui/bulk.js";
import { Filters, filterValues } from "../ui/filters.js";
import { Card, Id, PageHead, Problem, Status, When } from "../ui/parts.js";
import { Confirm } from "../ui/dialog.js";
import { Table } from "../ui/table.js";
import { toast } from "../ui/toast.js";

/** @param {string[]} names @returns {[string, string][]} */
const choices = (names) => names.map((name) => [name, name]);
const HOURS = /** @type {Record<string, number>} */ ({ "1h": 1, "1d": 24, "7d": 168 });
const FILTERS = [
  { name: "status", label: "Status", options: choices(["pending", "processing", "completed", "failed", "cancelled"]) },
  { name: "model", label: "Model", placeholder: "Model" },
  { name: "label", label: "Label", placeholder: "Label app:search" },
  { name: "since", label: "Submitted", options: /** @type {[string, string][]} */ ([["1h", "in the last hour"], ["1d", "in the last day"], ["7d", "in the last week"]]) },
  { name: "provider", label: "Provider", more: true },
  { name: "code", label: "Error code", more: true },
  { name: "type", label: "Type", placeholder: "Type, e.g. chat.completions", more: true },
  { name: "priority", label: "Priority", options: choices(["high", "normal", "low"]), more: true },
  { name: "min_cost_usd", label: "Cost from (USD)", more: true },
];
const ADMIN_FILTERS = [
  { name: "key", label: "Key id", more: true },
  { name: "team", label: "Team", more: true },
  { name: "customer", label: "Customer", more: true },
];

/** The filter as the API takes it. @param {Record<string, string | null>} values */
function filterOf({ since, ...others }) {
  const given = Object.entries(others).filter(([, value]) => value);
  const after = since && HOURS[since] ? { created_after: new Date(Date.now() - HOURS[since] * 3_600_000).toISOString() } : {};
  return /** @type {Record<string, string>} */ ({ ...Object.fromEntries(given), ...after });
}

export default function Jobs() {
  const admin = session.value?.role !== "key";
  const filters = admin ? [...FILTERS, ...ADMIN_FILTERS] : FILTERS;
  const values = filterValues(filters.map((filter) => filter.name));
  const pages = usePages((after, signal) => call(admin ? "jobs" : "ownJobs", { query: { ...filterOf(values), after, limit: 50 }, signal }), [values]);
  const [selected, setSelected] = useState(/** @type {Set<string>} */ (new Set()));
  const [bulk, setBulk] = useState(/** @type {Record<string, string> | null} */ (null));
  return html`<${PageHead} title="Jobs"><button disabled=${!pages.rows.length} onClick=${() => setBulk(filterOf(values))}>Act on all that match</button>
      <a class="button primary" href="/ui/try">Submit a job</a></${PageHead}>
    <${Progress} onChange=${pages.reload} />
    <${Filters} filters=${filters} />
    <${Problem} of=${pages} />
    <${Card} pad=${false}>
      ${selected.size ? html`<${Selection} rows=${pages.rows} selected=${selected} clear=${() => setSelected(new Set())} reload=${pages.reload} admin=${admin} />` : null}
      <${Table} label="Jobs" pages=${pages} selected=${selected} onSelect=${setSelected}
        href=${(/** @type {any} */ job) => `/ui/jobs/${job.id}`}
        empty=${["No jobs match", "Add the header x-bf-async: true to any call, or clear the filters."]} noun="jobs"
        columns=${COLUMNS} /></${Card}>
    ${bulk ? html`<${BulkDialog} filter=${bulk} onClose=${() => (setBulk(null), pages.reload())} />` : null}`;
}

const COLUMNS = [
  { title: "Job", cell: (/** @type {any} */ job) => html`<${Id} id=${job.id} />` },
  { title: "Status", cell: (/** @type {any} */ job) => html`<${Status} status=${job.status} />` },
  { title: "Model", cell: (/** @type {any} */ job) => html`<span class="clip" title=${job.model}>${job.model}</span>` },
  { title: "Type", cell: (/** @type {any} */ job) => job.request_type },
  { title: "Labels", cell: (/** @type {any} */ job) => Object.entries(job.labels ?? {}).slice(0, 3).map(([name, value]) => html`<span class="tag" title=${`${name}: ${value}`}>${name}: ${value}</span> `) },
  { title: "Attempts", right: true, cell: (/** @type {any} */ job) => job.attempts },
  { title: "Ran", right: true, cell: (/** @type {any} */ job) => ranFor(job) },
  { title: "Submitted", right: true, cell: (/** @type {any} */ job) => html`<${When} at=${job.created_at} />` },
];

/** @param {any} job */
export function ranFor(job) {
  if (!job.started_at) return "";
  return duration((job.completed_at ? epoch(job.completed_at) : Date.now() / 1000) - epoch(job.started_at));
}

const ENDED = new Set(["completed", "failed", "cancelled"]);

/** @param {{ rows: any[], selected: Set<string>, clear: () => void, reload: () => void, admin: boolean }} props */
function Selection({ rows, selected, clear, reload, admin }) {
  const [asking, setAsking] = useState("");
  const chosen = rows.filter((job) => selected.has(job.id));
  const cancellable = chosen.filter((job) => !ENDED.has(job.status));
  const retryable = chosen.filter((job) => job.status === "failed");
  const jobs = asking === "cancel" ? cancellable : retryable;
  async function act() {
    const name = asking === "cancel" ? (admin ? "cancelJob" : "cancelOwnJob") : admin ? "retryJob" : "retryOwnJob";
    const results = await Promise.allSettled(jobs.map((job) => call(name, { path: { job_id: job.id } })));
    const failed = results.filter((result) => result.status === "rejected").length;
    toast(failed ? `${jobs.length - failed} of ${jobs.length} jobs changed; ${failed} refused.` : `${plural(jobs.length, "job")} changed.`, failed ? "bad" : "");
    clear();
    reload();
  }
  return html`<div class="row selection">
    <span>${chosen.length} selected</span>
    <button class="small" disabled=${!cancellable.length} onClick=${() => setAsking("cancel")}>Cancel ${cancellable.length}</button>
    <button class="small" disabled=${!retryable.length} onClick=${() => setAsking("retry")}>Retry ${retryable.length}</button>
    <button class="small plain" onClick=${clear}>Clear selection</button>
    ${asking ? html`<${Confirm} title=${asking === "cancel" ? "Cancel jobs" : "Retry jobs"} action=${asking === "cancel" ? "Cancel jobs" : "Retry jobs"} danger=${asking === "cancel"}
      text=${asking === "cancel" ? `${plural(jobs.length, "job")} will be cancelled. Running calls are aborted and charged for what they used.` : `${plural(jobs.length, "failed job")} will run again under the limits of their keys.`}
      onConfirm=${act} onClose=${() => setAsking("")} />` : null}</div>`;
}
