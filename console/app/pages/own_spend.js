/** What did this key spend, and what has it left? */
import { html } from "../lib/html.js";
import { call } from "../lib/api.js";
import { count, money, percent } from "../lib/format.js";
import { usePoll } from "../lib/poll.js";
import { session } from "../lib/session.js";
import { Card, Empty, Loading, PageHead, Problem, Stat } from "../ui/parts.js";
import { Chart } from "../ui/chart.js";
import { LimitTable } from "./limits.js";

export default function OwnSpend() {
  const live = usePoll((signal) => call("ownUsage", { query: { per: "day" }, signal }), []);
  const limits = usePoll(async (signal) => (await call("ownLimits", { signal })).data, []);
  const data = live.data;
  return html`<${PageHead} title="My spend" sub=${session.value?.name} /><${Problem} of=${live} /><${Problem} of=${limits} />
    ${live.loading ? html`<${Loading} />` : null}
    ${data ? html`<div class="stack"><div class="grid cards">
      <${Stat} label="Spend in 30 days" value=${money(data.total.cost_usd)} />
      <${Stat} label="Calls" value=${count(data.total.calls)} note=${`${percent(data.total.errors, data.total.calls)} failed`} />
      <${Stat} label="Input tokens" value=${count(data.total.input_tokens)} /><${Stat} label="Output tokens" value=${count(data.total.output_tokens)} /></div>
      <${Card} title="Spend per day">${data.data.length ? html`<${Chart} label="Spend per day" format=${money} times=${data.data.map((/** @type {any} */ row) => Date.parse(`${row.period}T00:00:00Z`) / 1000)} series=${[{ name: "Spend", values: data.data.map((/** @type {any} */ row) => row.cost_usd) }]} />` : html`<${Empty} title="No spend yet" />`}</${Card}>
      ${limits.data ? html`<${LimitTable} title="Limits" limits=${limits.data.map((/** @type {any} */ limit) => (limit.of === "key" ? { ...limit, key_name: "this key" } : limit))} empty="Nothing bounds the calls of this key." />` : null}</div>` : null}`;
}
