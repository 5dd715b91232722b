/** Who changed what? */
import { html } from "../lib/html.js";
import { call } from "../lib/api.js";
import { usePages } from "../lib/poll.js";
import { Filters, filterValues } from "../ui/filters.js";
import { Card, PageHead, Problem, Status, When } from "../ui/parts.js";
import { Table } from "../ui/table.js";

const FILTERS = [{ name: "target", label: "Target", placeholder: "Id of a key or job" }];

export default function Audit() {
  const values = filterValues(["target"]);
  const pages = usePages((after, signal) => call("audit", { query: { ...values, after, limit: 50 }, signal }), [values]);
  return html`<${PageHead} title="Audit" /><${Filters} filters=${FILTERS} /><${Problem} of=${pages} />
    <${Card} pad=${false}><${Table} label="Audit trail" pages=${pages}
      empty=${["Nothing was changed", "Every administrative change is recorded here."]} noun="entries"
      columns=${[
        { title: "At", cell: (/** @type {any} */ entry) => html`<${When} at=${entry.at} />` },
        { title: "Action", cell: (/** @type {any} */ entry) => html`<span class="mono clip" title=${entry.action}>${entry.action}</span>` },
        { title: "Result", cell: (/** @type {any} */ entry) => html`<${Status} status=${entry.status < 400 ? "ok" : "failed"} />` },
        { title: "Target", cell: (/** @type {any} */ entry) => html`<span class="mono clip narrow" title=${entry.target}>${entry.target}</span>` },
        { title: "Detail", cell: (/** @type {any} */ entry) => html`<span class="mono clip narrow" title=${JSON.stringify(entry.detail)}>${Object.keys(entry.detail ?? {}).length ? JSON.stringify(entry.detail) : ""}</span>` },
        { title: "By", cell: (/** @type {any} */ entry) => html`<span class="nowrap">${entry.who}</span>` },
        { title: "From", cell: (/** @type {any} */ entry) => entry.address },
      ]} /></${Card}>`;
}
