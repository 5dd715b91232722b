/** Which limits are close, and when do they turn? */
import { html } from "../lib/html.js";
import { call } from "../lib/api.js";
import { ago, count, money } from "../lib/format.js";
import { usePoll } from "../lib/poll.js";
import { Card, LimitBar, Loading, PageHead, Problem, When } from "../ui/parts.js";
import { Table } from "../ui/table.js";

export default function Limits() {
  const live = usePoll(async (signal) => (await call("limits", { query: { limit: 1000 }, signal })).data, [], 1000);
  return html`<${PageHead} title="Limits" sub="Closest to its limit first" />
    <${Problem} of=${live} />
    ${live.loading ? html`<${Loading} />` : null}
    ${live.data ? html`<${LimitTable} limits=${live.data} empty="Give a key a budget or a rate limit on the Keys page." />` : null}`;
}

/** @param {{ limits: any[], title?: string, empty: string }} props limits: as the API gives them */
export const LimitTable = ({ limits, title, empty }) => html`<${Card} title=${title} pad=${false}><${Table} label="Limits" rows=${limits.map(rowOf)}
  empty=${["No limits", empty]}
  columns=${[
    { title: "Applies to", cell: (/** @type {any} */ row) => row.key_name ?? `${row.of} ${row.of_name}` },
    { title: "Kind", cell: (/** @type {any} */ row) => `${row.kind} per ${row.window}` },
    { title: "Used", cell: (/** @type {any} */ row) => html`<${LimitBar} used=${row.spent} held=${row.held} limit=${row.most} />` },
    { title: "Spent", right: true, cell: (/** @type {any} */ row) => row.show(row.spent) },
    { title: "Reserved", right: true, cell: (/** @type {any} */ row) => row.show(row.held) },
    { title: "Limit", right: true, cell: (/** @type {any} */ row) => row.show(row.most) },
    { title: "Resets", cell: (/** @type {any} */ row) => html`<${When} at=${row.resets_at} />` },
    { title: "Forecast", cell: (/** @type {any} */ row) => (row.forecast?.exhausted_at ? `exhausted ${ago(row.forecast.exhausted_at)}` : row.forecast ? `${money(row.forecast.projected_usd)} at the reset` : "") },
  ]} /></${Card}>`;

/** One shape for money and counts. @param {any} limit */
function rowOf(limit) {
  const usd = limit.limit_usd !== undefined;
  const [most, spent, held] = usd ? [limit.limit_usd, limit.used_usd, limit.reserved_usd] : [limit.limit, limit.used, limit.reserved];
  return { ...limit, most, spent, held, show: usd ? money : count };
}
