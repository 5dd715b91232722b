/** Which limits are close, and when do they turn? */
import { html } from "../lib/html.js";
import { call } from "../lib/api.js";
import { ago, count, money } from "../lib/format.js";
import { usePoll } from "../lib/poll.js";
import { Card, Empty, LimitBar, Loading, PageHead, Problem, When } from "../ui/parts.js";
import { Table } from "../ui/table.js";

const KEYS = 50;

export default function Limits() {
  const live = usePoll(readAll, [], 10_000);
  return html`<${PageHead} title="Limits" sub="Closest to its limit first" />
    <${Problem} error=${live.error} stale=${live.stale} retry=${live.reload} />
    ${live.loading ? html`<${Loading} />` : null}
    ${live.data ? html`<${Card} pad=${false}><${Table} label="Limits" rows=${live.data} keyOf=${(/** @type {any} */ _, /** @type {number} */ at) => String(at)}
      empty=${html`<${Empty} title="No limits">Give a key a budget or a rate limit on the Keys page.</${Empty}>`}
      columns=${[
        { title: "Key", cell: (/** @type {any} */ row) => row.key },
        { title: "Limit", cell: (/** @type {any} */ row) => `${row.kind} per ${row.window}${row.of === "key" ? "" : ` of ${row.of} ${row.of_name}`}` },
        { title: "Used", cell: (/** @type {any} */ row) => html`<${LimitBar} used=${row.spent} held=${row.held} limit=${row.most} />` },
        { title: "Spent", right: true, cell: (/** @type {any} */ row) => row.show(row.spent) },
        { title: "Reserved", right: true, cell: (/** @type {any} */ row) => row.show(row.held) },
        { title: "Of", right: true, cell: (/** @type {any} */ row) => row.show(row.most) },
        { title: "Resets", cell: (/** @type {any} */ row) => html`<${When} at=${row.resets_at} />` },
        { title: "Forecast", cell: (/** @type {any} */ row) => (row.forecast?.exhausted_at ? `exhausted ${ago(row.forecast.exhausted_at)}` : row.forecast ? `${money(row.forecast.projected_usd)} at the reset` : "") },
      ]} /></${Card}>` : null}`;
}

/** @param {AbortSignal} signal */
async function readAll(signal) {
  const { data: keys } = await call("keys", { query: { status: "active", limit: KEYS }, signal });
  const answers = await Promise.all(keys.map((/** @type {any} */ key) => call("keyLimits", { path: { key_id: key.id }, signal })));
  const rows = answers.flatMap((answer, at) => answer.data.map((/** @type {any} */ limit) => rowOf(limit, keys[at].name)));
  return rows.sort((a, b) => b.share - a.share);
}

/** One shape for money and counts. @param {any} limit @param {string} key */
function rowOf(limit, key) {
  const usd = limit.limit_usd !== undefined;
  const [most, spent, held] = usd ? [limit.limit_usd, limit.used_usd, limit.reserved_usd] : [limit.limit, limit.used, limit.reserved];
  return { ...limit, key, most, spent, held, share: most ? (spent + held) / most : 0, show: usd ? money : count };
}
