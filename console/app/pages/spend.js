/** Where does the money go, and where is it heading? */
import { html, useEffect } from "../lib/html.js";
import { call } from "../lib/api.js";
import { ago, count, duration, money, percent } from "../lib/format.js";
import { useBooked, usePoll } from "../lib/poll.js";
import { current, setQuery } from "../lib/router.js";
import { Card, Empty, Loading, PageHead, Problem, Segmented, Stat, Status } from "../ui/parts.js";
import { Chart } from "../ui/chart.js";
import { Table } from "../ui/table.js";

const RANGES = /** @type {[string, string][]} */ ([["1", "Day"], ["7", "Week"], ["30", "Month"], ["90", "Quarter"]]);
const GROUPS = /** @type {[string, string][]} */ ([["team", "Team"], ["key", "Key"], ["model", "Model"], ["provider", "Provider"], ["customer", "Customer"], ["request_type", "Type"], ["lane", "Lane"]]);
const DIMENSION = "dimension:";
const SERIES = 7;

export default function Spend() {
  const query = current.value.query;
  const days = Number(query.get("days") ?? 30);
  const group = query.get("group_by") ?? "team";
  const per = days <= 2 ? "hour" : "day";
  const live = usePoll((signal) => call("usage", { query: { per, group_by: group, from: daysAgo(days) }, signal }), [days, group], 15_000);
  const booked = useBooked();
  useEffect(() => void (booked && live.reload()), [booked]);
  return html`<${PageHead} title="Spend">
      <${Segmented} label="Range" options=${RANGES} value=${String(days)} onChange=${(/** @type {string} */ value) => setQuery({ days: value })} />
      <${GroupBy} group=${group} />
      <a class="button" download href=${`/api/usage/export?format=csv&per=${per}&group_by=${encodeURIComponent(group)}&from=${daysAgo(days)}`}>Export CSV</a></${PageHead}>
    <${Problem} of=${live} />
    ${live.loading ? html`<${Loading} />` : null}
    ${live.data ? html`<${Answer} data=${live.data} group=${group} per=${per} />${group === "lane" ? html`<${Lanes} />` : null}<${Forecast} />` : null}`;
}

/** @param {{ group: string }} props */
function GroupBy({ group }) {
  const dimension = group.startsWith(DIMENSION);
  const choose = (/** @type {any} */ event) => setQuery({ group_by: event.target.value });
  const name = (/** @type {any} */ event) => setQuery({ group_by: DIMENSION + (event.target.value.trim() || "app") });
  return html`<select aria-label="Group by" value=${dimension ? `${DIMENSION}app` : group} onChange=${choose}>
      ${GROUPS.map(([value, text]) => html`<option value=${value}>By ${text.toLowerCase()}</option>`)}<option value=${`${DIMENSION}app`}>By dimension</option></select>
    ${dimension ? html`<input aria-label="Dimension" value=${group.slice(DIMENSION.length)} onChange=${name} />` : null}`;
}

/** @param {number} days */
function daysAgo(days) {
  const start = new Date(Date.now() - (days - 1) * 86_400_000);
  return start.toISOString().slice(0, 10);
}

/** @param {{ data: any, group: string, per: string }} props */
function Answer({ data, group, per }) {
  const groups = sumsBy(data.data, group);
  const { times, series } = seriesOf(data, group, groups);
  const total = data.total;
  return html`<div class="stack"><div class="grid cards">
      <${Stat} label="Spend" value=${money(total.cost_usd)} note=${total.list_cost_usd > total.cost_usd ? `${money(total.list_cost_usd - total.cost_usd)} saved` : ""} />
      <${Stat} label="Calls" value=${count(total.calls)} note=${`${percent(total.errors, total.calls)} failed`} />
      <${Stat} label="Input tokens" value=${count(total.input_tokens)} note=${total.cached_tokens ? `${percent(total.cached_tokens, total.input_tokens)} cached` : ""} />
      <${Stat} label="Output tokens" value=${count(total.output_tokens)} />
      <${Stat} label="Without a price" value=${count(total.unpriced_calls)} note=${total.unpriced_calls ? "calls not in this spend" : "every call is priced"} bad=${total.unpriced_calls > 0} /></div>
    <${Card} title=${per === "hour" ? "Spend per hour" : "Spend per day"}>${groups.length ? html`<${Chart} label="Spend" times=${times} series=${series} format=${money} height=${260} timeFormat=${dateOf(per)} />` : html`<${Empty} title="No spend in this range" />`}</${Card}>
    <${Card} pad=${false}><${Table} label="Spend by group" rows=${groups} keyOf=${(/** @type {any} */ row) => row.name}
      empty=${["No calls in this range"]}
      columns=${[
        { title: GROUPS.find(([name]) => name === group)?.[1] ?? group, cell: (/** @type {any} */ row) => html`<span class="clip" title=${row.name}>${row.name || "none"}</span>` },
        { title: "Spend", right: true, cell: (/** @type {any} */ row) => money(row.cost_usd) },
        { title: "Share", right: true, cell: (/** @type {any} */ row) => percent(row.cost_usd, total.cost_usd) },
        { title: "Calls", right: true, cell: (/** @type {any} */ row) => count(row.calls) },
        { title: "Failed", right: true, cell: (/** @type {any} */ row) => count(row.errors) },
        { title: "Input tokens", right: true, cell: (/** @type {any} */ row) => count(row.input_tokens) },
        { title: "Output tokens", right: true, cell: (/** @type {any} */ row) => count(row.output_tokens) },
      ]} /></${Card}></div>`;
}

const SUMMED = ["cost_usd", "calls", "errors", "input_tokens", "output_tokens"];

/** @param {any[]} rows @param {string} group */
function sumsBy(rows, group) {
  const sums = new Map();
  for (const row of rows) {
    const name = row[group] ?? "";
    const sum = sums.get(name) ?? { name };
    for (const field of SUMMED) sum[field] = (sum[field] ?? 0) + row[field];
    sums.set(name, sum);
  }
  return [...sums.values()].sort((a, b) => b.cost_usd - a.cost_usd || b.calls - a.calls);
}

/** The largest groups as series; the rest as one. @param {any} data @param {string} group @param {any[]} groups */
function seriesOf(data, group, groups) {
  const rows = data.data;
  const periods = periodsOf(data);
  const at = new Map(periods.map((period, index) => [period, index]));
  const names = groups.slice(0, SERIES).map((one) => one.name);
  const rest = groups.length > SERIES;
  const series = [...names, ...(rest ? ["other"] : [])].map((name) => ({ name: name || "none", values: periods.map(() => 0) }));
  for (const row of rows) {
    const index = names.indexOf(row[group] ?? "");
    series[index < 0 ? series.length - 1 : index].values[/** @type {number} */ (at.get(row.period))] += row.cost_usd;
  }
  return { times: periods.map((period) => Date.parse(period.length === 10 ? `${period}T00:00:00Z` : period) / 1000), series };
}

/** Every period of the range, those without calls too. @param {any} data */
function periodsOf(data) {
  const step = data.per === "hour" ? 3_600_000 : 86_400_000;
  const found = [];
  for (let at = Date.parse(data.from); at < Math.min(Date.parse(data.to), Date.now()); at += step) {
    const text = new Date(at).toISOString();
    found.push(data.per === "hour" ? `${text.slice(0, 13)}:00:00Z` : text.slice(0, 10));
  }
  return found;
}

/** @param {string} per */
function dateOf(per) {
  const format = new Intl.DateTimeFormat("en-GB", per === "hour" ? { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
  return (/** @type {number} */ seconds) => format.format(new Date(seconds * 1000));
}

function Forecast() {
  const live = usePoll((signal) => call("forecast", { query: { by: "key", limit: 50 }, signal }), [], 30_000);
  const rows = live.data?.data ?? [];
  if (!rows.length) return null;
  return html`<div style=${{ marginTop: "16px" }}><${Card} title="Forecast by key" pad=${false}><${Table} label="Forecast" rows=${rows}
    columns=${[
      { title: "Key", cell: (/** @type {any} */ row) => row.name || row.id },
      { title: "Today", right: true, cell: (/** @type {any} */ row) => html`${row.anomalous ? html`<${Status} status="unusual" /> ` : null}${money(row.today_usd)}` },
      { title: "Usual day", right: true, cell: (/** @type {any} */ row) => money(row.usual_day_usd) },
      { title: "Rate per hour", right: true, cell: (/** @type {any} */ row) => money(row.rate_usd_per_hour) },
      { title: "This month", right: true, cell: (/** @type {any} */ row) => money(row.month_usd) },
      { title: "Projected month", right: true, cell: (/** @type {any} */ row) => money(row.projected_month_usd) },
      { title: "Budget spent", cell: (/** @type {any} */ row) => row.budgets.filter((/** @type {any} */ budget) => budget.exhausted_at).map((/** @type {any} */ budget) => html`<span class="tag">${budget.window}: ${ago(budget.exhausted_at)}</span> `) },
    ]} /></${Card}></div>`;
}

function Lanes() {
  const live = usePoll((signal) => call("lanes", { signal }), [], 30_000);
  const rows = live.data?.data ?? [];
  if (!rows.length) return null;
  const time = (/** @type {string} */ field) => (/** @type {any} */ row) => row[field] == null ? "too late" : duration(row[field]);
  return html`<div style=${{ marginTop: "16px" }}><${Card} title="Times of lanes" pad=${false}><${Table} label="Times of lanes" rows=${rows}
    columns=${[
      { title: "Lane", cell: (/** @type {any} */ row) => row.lane },
      { title: "Model", cell: (/** @type {any} */ row) => row.model },
      { title: "Calls", right: true, cell: (/** @type {any} */ row) => count(row.answers) },
      { title: "p50", right: true, cell: time("p50_s") },
      { title: "p99", right: true, cell: time("p99_s") },
    ]} /></${Card}></div>`;
}
