/** What runs here, and is it ready? */
import { html } from "../lib/html.js";
import { call } from "../lib/api.js";
import { usePoll } from "../lib/poll.js";
import { session } from "../lib/session.js";
import { Card, Facts, Loading, PageHead, Problem, Status, When } from "../ui/parts.js";
import { Table } from "../ui/table.js";

export default function System() {
  const live = usePoll((signal) => call("system", { signal }), []);
  const data = live.data;
  return html`<${PageHead} title="System" /><${Problem} of=${live} />
    ${live.loading ? html`<${Loading} />` : null}
    ${data ? html`<div class="stack"><div class="grid halves"><${Card} title="Gateway"><${Facts} facts=${[
        ["Version", data.version],
        ["Ready", html`<${Status} status=${data.ready ? "ok" : "failed"} />`],
        ["Providers", String(data.providers)],
        ["Session ends", html`<${When} at=${session.value?.expires_at} />`],
        ["API reference", html`<a href="/docs" target="_blank" rel="noreferrer">/docs</a>`],
      ]} /></${Card}>
      <${Card} title="Store"><${Facts} facts=${Object.entries(data.store).map(([name, value]) => [name[0].toUpperCase() + name.slice(1).replace(/_/g, " "), String(value)])} /></${Card}></div>
      <${Checks} />
      <${Card} title="Configuration in force"><pre tabindex="0">${JSON.stringify(data.configuration, null, 2)}</pre></${Card}></div>` : null}`;
}

const LEVELS = /** @type {Record<string, string>} */ ({ OK: "ok", WARN: "warning", FAIL: "failed" });

/** What finops doctor finds, the worst first. */
function Checks() {
  const live = usePoll((signal) => call("doctor", { signal }), [], 15_000);
  return html`<${Problem} of=${live} /><${Card} title="Checks" pad=${false} actions=${live.data ? html`<span class="muted"><${When} at=${live.data.checked_at} /></span>` : null}>
    <${Table} label="Checks" rows=${live.data?.data} loading=${live.loading} keyOf=${(/** @type {any} */ _, /** @type {number} */ at) => String(at)} columns=${[
      { title: "Check", cell: (/** @type {any} */ row) => html`<span class="nowrap">${row.check}</span>` },
      { title: "Result", cell: (/** @type {any} */ row) => html`<${Status} status=${LEVELS[row.level]} />` },
      { title: "Found", cell: (/** @type {any} */ row) => row.message },
      { title: "What to do", cell: (/** @type {any} */ row) => row.fix },
    ]} /></${Card}>`;
}
