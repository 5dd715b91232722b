/** What was called, by whom, at which cost? */
import { html, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { count, duration, money, pretty } from "../lib/format.js";
import { usePages } from "../lib/poll.js";
import { Filters, filterValues } from "../ui/filters.js";
import { Card, Facts, PageHead, Problem, Status, When } from "../ui/parts.js";
import { Dialog } from "../ui/dialog.js";
import { Table } from "../ui/table.js";

const FILTERS = [
  { name: "model", label: "Model" },
  { name: "provider", label: "Provider" },
  { name: "key", label: "Key id" },
  { name: "team", label: "Team" },
  { name: "code", label: "Error code" },
  { name: "request_id", label: "Request id" },
];

export default function Calls() {
  const values = filterValues(FILTERS.map((filter) => filter.name));
  const pages = usePages((cursor, signal) => call("calls", { query: { ...values, cursor, limit: 50 }, signal }), [values]);
  const [open, setOpen] = useState(/** @type {any} */ (null));
  return html`<${PageHead} title="Calls" />
    <${Filters} filters=${FILTERS} />
    <${Problem} of=${pages} />
    <${Card} pad=${false}><${Table} label="Calls" pages=${pages}
      empty=${["No calls match", "Every call and job is booked here with its tokens and cost."]} noun="calls"
      columns=${[
        { title: "Ended", cell: (/** @type {any} */ row) => html`<button class="small plain" onClick=${() => setOpen(row)}><${When} at=${row.ended_at} /></button>` },
        { title: "Status", cell: (/** @type {any} */ row) => html`<span class="nowrap"><${Status} status=${row.status < 400 ? "ok" : "failed"} /> <span class="num muted">${row.status}</span></span>` },
        { title: "Model", cell: (/** @type {any} */ row) => html`<span class="clip" title=${row.asked_model}>${row.provider}/${row.model}</span>` },
        { title: "Key", cell: (/** @type {any} */ row) => row.key_name || html`<span class="muted">none</span>` },
        { title: "Type", cell: (/** @type {any} */ row) => row.request_type },
        { title: "Input", right: true, cell: (/** @type {any} */ row) => count(row.input_tokens) },
        { title: "Output", right: true, cell: (/** @type {any} */ row) => count(row.output_tokens) },
        { title: "Latency", right: true, cell: (/** @type {any} */ row) => duration(row.latency_ms / 1000) },
        { title: "Cost", right: true, cell: (/** @type {any} */ row) => (row.priced ? money(row.cost_usd) : html`<span class="muted">no price</span>`) },
        { title: "Job", cell: (/** @type {any} */ row) => (row.job_id ? html`<a href=${`/ui/jobs/${row.job_id}`}>job</a>` : "") },
      ]} /></${Card}>
    ${open ? html`<${Dialog} title="Call" onClose=${() => setOpen(null)}><${Facts} facts=${Object.entries(open).map(([name, value]) => [name.replace(/_/g, " "), typeof value === "object" ? (Object.keys(value ?? {}).length ? html`<pre tabindex="0">${pretty(value)}</pre>` : "") : String(value)])} />
      <div class="form-actions"><button onClick=${() => setOpen(null)}>Close</button></div></${Dialog}>` : null}`;
}
