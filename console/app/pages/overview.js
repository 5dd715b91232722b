/** Is everything all right, and what does it cost today? */
import { html } from "../lib/html.js";
import { call } from "../lib/api.js";
import { count, duration, money, percent } from "../lib/format.js";
import { usePoll } from "../lib/poll.js";
import { Card, Loading, PageHead, Problem, Stat, Status, When } from "../ui/parts.js";
import { Chart, dayAndHour } from "../ui/chart.js";
import { Table } from "../ui/table.js";

export default function Overview() {
  const live = usePoll((signal) => call("overview", { signal }), [], 1000);
  const data = live.data;
  return html`<${PageHead} title="Overview" />
    <${Problem} of=${live} />
    ${data ? html`<div class="stack"><${Numbers} data=${data} /><${Charts} hours=${data.hours} />
      <div class="grid two"><${Failures} jobs=${data.failed_jobs} /><${Health} providers=${data.providers} /></div></div>` : live.loading ? html`<${Loading} />` : null}`;
}

/** @param {{ data: any }} props */
function Numbers({ data }) {
  const { queue, today, yesterday } = data;
  return html`<div class="grid cards">
    <${Stat} label="Spend today" value=${money(today.cost_usd)} note=${`${money(yesterday.cost_usd)} yesterday`} href="/ui/spend" />
    <${Stat} label="Calls today" value=${count(today.calls)} note=${`${percent(today.errors, today.calls)} failed`} href="/ui/calls" bad=${today.calls >= 20 && today.errors / today.calls > 0.2} />
    <${Stat} label="Jobs waiting" value=${count(queue.depth)} note=${queue.depth ? `oldest ${duration(queue.oldest_age_s)}` : "nothing waits"} href="/ui/queue" />
    <${Stat} label="Jobs running" value=${count(queue.running)} note=${queue.deferred ? `${count(queue.deferred)} scheduled for later` : ""} href="/ui/jobs?status=processing" />
    <${Stat} label="Dead letters" value=${count(queue.dead)} note=${queue.dead ? "failed on every attempt" : ""} href="/ui/queue" bad=${queue.dead > 0} />
  </div>`;
}

/** @param {{ hours: any[] }} props */
function Charts({ hours }) {
  const times = hours.map((hour) => hour.at);
  const succeeded = hours.map((hour) => hour.calls - hour.errors);
  return html`<div class="grid halves">
    <${Card} title="Calls per hour"><${Chart} label="Calls per hour" times=${times} format=${count}
      series=${[{ name: "Succeeded", values: succeeded }, { name: "Failed", colour: 5, values: hours.map((hour) => hour.errors) }]} timeFormat=${dayAndHour} /></${Card}>
    <${Card} title="Spend per hour"><${Chart} label="Spend per hour" times=${times} format=${money} series=${[{ name: "Spend", values: hours.map((hour) => hour.cost_usd) }]} timeFormat=${dayAndHour} /></${Card}>
  </div>`;
}

/** @param {{ jobs: any[] }} props */
const Failures = ({ jobs }) => html`<${Card} title="Latest failed jobs" pad=${false} actions=${html`<a href="/ui/jobs?status=failed">All failed jobs</a>`}>
  <${Table} label="Latest failed jobs" rows=${jobs} href=${(/** @type {any} */ job) => `/ui/jobs/${job.id}`}
    empty=${["No failed jobs", "Jobs that fail appear here."]}
    columns=${[
      { title: "Model", cell: (/** @type {any} */ job) => html`<span class="clip">${job.model}</span>` },
      { title: "Error", cell: (/** @type {any} */ job) => html`<span class="clip" title=${job.error?.message}>${job.error?.code ?? job.error?.type ?? job.status_code}</span>` },
      { title: "Failed", cell: (/** @type {any} */ job) => html`<${When} at=${job.completed_at} />` },
    ]} /></${Card}>`;

/** @param {{ providers: Record<string, any> }} props */
const Health = ({ providers }) => html`<${Card} title="Providers" pad=${false} actions=${html`<a href="/ui/providers">Details</a>`}>
  <${Table} label="Providers" rows=${Object.entries(providers).map(([name, one]) => ({ name, ...one }))} keyOf=${(/** @type {any} */ row) => row.name}
    empty=${["No provider is configured", "Set OPENAI_API_KEY or add a table to finops.toml."]}
    columns=${[
      { title: "Provider", cell: (/** @type {any} */ row) => row.name },
      { title: "Circuit", cell: (/** @type {any} */ row) => html`<${Status} status=${row.circuit} />` },
      { title: "Running", right: true, cell: (/** @type {any} */ row) => `${count(row.concurrency.inside)} of ${count(row.concurrency.limit)}` },
    ]} /></${Card}>`;
