/** What needed attention? */
import { html } from "../lib/html.js";
import { call } from "../lib/api.js";
import { money } from "../lib/format.js";
import { usePages } from "../lib/poll.js";
import { Card, Empty, PageHead, Problem, When } from "../ui/parts.js";
import { More, Table } from "../ui/table.js";

export default function Alerts() {
  const pages = usePages((after, signal) => call("alerts", { query: { after, limit: 50 }, signal }), [], 5000);
  return html`<${PageHead} title="Alerts" /><${Problem} error=${pages.error} stale=${pages.stale} retry=${pages.reload} />
    <${Card} pad=${false}><${Table} label="Alerts" rows=${pages.rows} loading=${pages.loading} keyOf=${(/** @type {any} */ alert) => alert.id}
      empty=${html`<${Empty} title="No alerts">Budgets that pass a threshold and unusual spending appear here.</${Empty}>`} foot=${html`<${More} pages=${pages} noun="alerts" />`}
      columns=${[
        { title: "At", cell: (/** @type {any} */ alert) => html`<${When} at=${new Date(alert.created_at * 1000).toISOString()} />` },
        { title: "Alert", cell: (/** @type {any} */ alert) => alert.type },
        { title: "Scope", cell: (/** @type {any} */ alert) => alert.scope },
        { title: "Window", cell: (/** @type {any} */ alert) => alert.window },
        { title: "Detail", cell: (/** @type {any} */ alert) => (alert.percent !== undefined ? `${alert.percent} % of ${money(alert.limit_usd)}` : alert.usual_usd !== undefined ? `usually ${money(alert.usual_usd)}` : "") },
        { title: "Used", right: true, cell: (/** @type {any} */ alert) => (alert.used_usd === undefined ? "" : money(alert.used_usd)) },
      ]} /></${Card}>`;
}
