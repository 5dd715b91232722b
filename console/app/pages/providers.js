/** How do the providers do? */
import { html, useEffect } from "../lib/html.js";
import { call } from "../lib/api.js";
import { count, duration, percent } from "../lib/format.js";
import { useBooked, usePoll } from "../lib/poll.js";
import { Card, Empty, Facts, Loading, PageHead, Problem, Status } from "../ui/parts.js";

export default function Providers() {
  const live = usePoll((signal) => call("readiness", { query: { verbose: "1" }, signal }), []);
  const today = usePoll((signal) => call("usage", { query: { per: "total", group_by: "provider", from: new Date(Date.now() - 86_400_000).toISOString() }, signal }), [], 15_000);
  const booked = useBooked();
  useEffect(() => void (booked && today.reload()), [booked]);
  const used = new Map((today.data?.data ?? []).map((/** @type {any} */ row) => [row.provider, row]));
  const data = live.data;
  return html`<${PageHead} title="Providers" sub="As this API process sees them" />
    <${Problem} of=${live} />
    ${live.loading ? html`<${Loading} />` : null}
    ${data && !Object.keys(data.providers).length ? html`<${Card}><${Empty} title="No provider is configured">Set a provider's API key in the environment, or add a table to finops.toml.</${Empty}></${Card}>` : null}
    <div class="grid" style=${{ gridTemplateColumns: "repeat(auto-fill, minmax(320px, 1fr))" }}>
      ${Object.entries(data?.providers ?? {}).map(([name, one]) => html`<${Provider} name=${name} state=${one} used=${used.get(name)} />`)}
      ${Object.entries(data?.missing ?? {}).map(([name, reason]) => html`<${Card} title=${name} actions=${html`<${Status} status="disabled" />`}><p class="muted">Not usable: ${String(reason)}</p></${Card}>`)}
    </div>`;
}

/** @param {{ name: string, state: any, used: any }} props used: sums of the last day */
function Provider({ name, state, used }) {
  const { inside, limit, waiting, configured } = state.concurrency;
  const resting = state.resting_keys ?? [];
  return html`<${Card} title=${name} actions=${html`<${Status} status=${state.circuit} />`}><${Facts} facts=${[
    ["Circuit", state.circuit === "closed" ? "closed: calls pass" : `${state.circuit.replace("_", " ")}, next try in ${duration(state.tried_again_in_s)}`],
    ["Concurrency", `${count(inside)} of ${count(limit)} running${waiting ? `, ${count(waiting)} waiting` : ""}${limit < configured ? `; throttled from ${count(configured)}` : ""}`],
    ["Keys cooling down", resting.length ? resting.map((/** @type {any} */ key) => html`<div>${key.key ?? key.name}${key.model ? ` for ${key.model}` : ""}: ${duration(key.for_s)}</div>`) : "none"],
    ["Calls since yesterday", used ? `${count(used.calls)}, ${percent(used.errors, used.calls)} failed` : "none"],
    ["Mean latency", used ? duration(used.average_latency_ms / 1000) : null],
    ["Circuits per model", (state.circuits ?? []).length ? state.circuits.map((/** @type {any} */ one) => html`<div>${one.model ?? one.name}: ${(one.state ?? one.circuit).replace("_", " ")}</div>`) : null],
  ]} /></${Card}>`;
}
