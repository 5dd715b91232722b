/** Which agents and pipelines run, and how much of their budget is left? */
import { html } from "../lib/html.js";
import { call } from "../lib/api.js";
import { count, money } from "../lib/format.js";
import { usePages } from "../lib/poll.js";
import { Card, Id, LimitBar, PageHead, Problem, When } from "../ui/parts.js";
import { Table } from "../ui/table.js";

export default function Runs() {
  const pages = usePages((after, signal) => call("runs", { query: { after, limit: 50 }, signal }), []);
  return html`<${PageHead} title="Runs" /><${Problem} of=${pages} />
    <${Card} pad=${false}><${Table} label="Runs" pages=${pages} keyOf=${(/** @type {any} */ run, /** @type {number} */ at) => `${run.team ?? run.key ?? ""}/${run.id}/${at}`}
      empty=${["No runs", "Send x-bf-run-id and x-bf-run-budget-usd with the calls of an agent to cap what it spends."]} noun="runs"
      columns=${[
        { title: "Run", cell: (/** @type {any} */ run) => html`<span class="clip" title=${run.id}>${run.id}</span>` },
        { title: "Owner", cell: (/** @type {any} */ run) => (run.team ? `team ${run.team}` : run.key ? html`<${Id} id=${run.key} />` : "") },
        { title: "Used", cell: (/** @type {any} */ run) => (run.budget_usd ? html`<${LimitBar} used=${run.spent_usd} held=${run.reserved_usd} limit=${run.budget_usd} />` : html`<span class="muted">no cap</span>`) },
        { title: "Spent", right: true, cell: (/** @type {any} */ run) => money(run.spent_usd) },
        { title: "Reserved", right: true, cell: (/** @type {any} */ run) => money(run.reserved_usd) },
        { title: "Budget", right: true, cell: (/** @type {any} */ run) => money(run.budget_usd) },
        { title: "Calls", right: true, cell: (/** @type {any} */ run) => count(run.calls) },
        { title: "Jobs", right: true, cell: (/** @type {any} */ run) => count(run.jobs) },
        { title: "Last used", right: true, cell: (/** @type {any} */ run) => html`<${When} at=${run.last_used_at} />` },
      ]} /></${Card}>`;
}
