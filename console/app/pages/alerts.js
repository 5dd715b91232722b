/** What needs attention now, and what needed it? */
import { html } from "../lib/html.js";
import { call } from "../lib/api.js";
import { money } from "../lib/format.js";
import { usePages, usePoll } from "../lib/poll.js";
import { Card, PageHead, Problem, Status, When } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { act } from "../ui/toast.js";

export default function Alerts() {
  const pages = usePages((after, signal) => call("alerts", { query: { after, limit: 50 }, signal }), []);
  return html`<${PageHead} title="Alerts" /><div class="stack"><${Rules} /><${Problem} of=${pages} />
    <${Card} title="Raised" pad=${false}><${Table} label="Alerts" pages=${pages}
      empty=${["No alerts", "Rules that fire, budgets that pass a threshold and unusual spending appear here."]} noun="alerts"
      columns=${[
        { title: "At", cell: (/** @type {any} */ alert) => html`<${When} at=${new Date(alert.created_at * 1000).toISOString()} />` },
        { title: "Alert", cell: (/** @type {any} */ alert) => `${alert.type}${alert.muted ? " (muted)" : ""}` },
        { title: "Scope", cell: (/** @type {any} */ alert) => alert.scope },
        { title: "Window", cell: (/** @type {any} */ alert) => alert.window },
        { title: "Detail", cell: detail },
        { title: "Used", right: true, cell: (/** @type {any} */ alert) => (alert.used_usd === undefined ? "" : money(alert.used_usd)) },
      ]} /></${Card}></div>`;
}

/** @param {any} alert */
function detail(alert) {
  if (alert.percent !== undefined) return `${alert.percent} % of ${money(alert.limit_usd)}`;
  if (alert.usual_usd !== undefined) return `usually ${money(alert.usual_usd)}`;
  return alert.rule ? `${alert.metric} ${figure(alert.value)}, threshold ${alert.threshold}` : "";
}

/** @param {number | null} value */
const figure = (value) => (value === null ? "" : String(Number(value.toPrecision(4))));

function Rules() {
  const live = usePoll((signal) => call("alertRules", { signal }), []);
  const rules = live.data?.data ?? [];
  /** @param {any} rule */
  async function turn(rule) {
    await act(() => call(rule.muted ? "unmuteAlert" : "muteAlert", { path: { name: rule.id } }), rule.muted ? "The rule is not muted." : "The rule is muted for a day.");
    live.reload();
  }
  return html`<${Problem} of=${live} />
    <${Card} title="Rules" pad=${false}><${Table} label="Rules" rows=${rules} loading=${live.loading}
      empty=${["No rules", "Rules are configured in the tables [alerts.name] of finops.toml."]}
      columns=${[
        { title: "Rule", cell: (/** @type {any} */ rule) => rule.id },
        { title: "Status", cell: (/** @type {any} */ rule) => html`<${Status} status=${rule.status} />` },
        { title: "Figure", right: true, cell: (/** @type {any} */ rule) => figure(rule.value) },
        { title: "Condition", cell: (/** @type {any} */ rule) => rule.condition },
        { title: "Since", cell: (/** @type {any} */ rule) => html`<${When} at=${rule.since} />` },
        { title: "Muted until", cell: (/** @type {any} */ rule) => (rule.muted ? html`<span title=${rule.muted.reason ?? ""}><${When} at=${rule.muted.until} /></span>` : "") },
        { title: "", right: true, cell: (/** @type {any} */ rule) => html`<button class="small" onClick=${() => turn(rule)}>${rule.muted ? "Unmute" : "Mute"}</button>` },
      ]} /></${Card}>`;
}
