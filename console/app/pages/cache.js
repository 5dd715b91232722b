/** Does the cache pay, and what should leave it? */
import { html, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { bytes, count, money, percent, plural } from "../lib/format.js";
import { usePoll } from "../lib/poll.js";
import { current, setQuery } from "../lib/router.js";
import { Card, Empty, Facts, LimitBar, Loading, PageHead, Problem, Segmented, Stat, Status } from "../ui/parts.js";
import { Dialog } from "../ui/dialog.js";
import { Table } from "../ui/table.js";
import { toast } from "../ui/toast.js";

const RANGES = /** @type {[string, string][]} */ ([["1", "Day"], ["7", "Week"], ["30", "Month"]]);

export default function Cache() {
  const days = current.value.query.get("days") ?? "7";
  const live = usePoll((signal) => call("cache", { query: { days }, signal }), [days]);
  const shadow = usePoll((signal) => call("cacheShadow", { signal }), [], 0);
  const [purging, setPurging] = useState(false);
  const data = live.data;
  return html`<${PageHead} title="Cache">
      <${Segmented} label="Range" options=${RANGES} value=${days} onChange=${(/** @type {string} */ value) => setQuery({ days: value })} />
      <button class="danger" disabled=${!data?.entries} onClick=${() => setPurging(true)}>Purge answers</button></${PageHead}>
    <${Problem} of=${live} />
    ${live.loading ? html`<${Loading} />` : null}
    ${data ? html`<div class="stack"><${Numbers} data=${data} />
      ${data.mode === "off" ? html`<${Card}><${Empty} title="The cache is off">Set [cache] mode = "exact" in finops.toml to answer repeated requests from the store.</${Empty}></${Card}>` : null}
      <div class="grid halves"><${Card} title="Stored answers"><${LimitBar} label="Used share of the room" used=${data.bytes} held=${0} limit=${data.max_bytes} />
          <p class="muted">${bytes(data.bytes)} of ${bytes(data.max_bytes)}; the oldest leave first.</p></${Card}>
        <${Card} title="Settings"><${Facts} facts=${[["Mode", data.mode], ["Used by", data.when === "always" ? "every request" : "requests that ask for it"], ["Shared within", data.scope]]} /></${Card}></div>
      <${Problem} of=${shadow} />
      ${data.mode === "semantic" || shadow.data?.data.length ? html`<${Semantic} rows=${shadow.data?.data} loading=${shadow.loading} />` : null}</div>` : null}
    ${purging ? html`<${Purge} onClose=${() => (setPurging(false), live.reload())} />` : null}`;
}

/** How far semantic matches can be trusted. @param {{ rows: any[] | undefined, loading: boolean }} props */
const Semantic = ({ rows, loading }) => html`<${Card} title="Semantic matches" pad=${false}><${Table} label="Semantic matches" rows=${rows} loading=${loading}
  keyOf=${(/** @type {any} */ row) => `${row.scope} ${row.model}`} empty=${["No answers were compared yet"]} columns=${[
    { title: "Shared within", cell: (/** @type {any} */ row) => row.scope },
    { title: "Model", cell: (/** @type {any} */ row) => row.model },
    { title: "State", cell: (/** @type {any} */ row) => html`<${Status} status=${row.state} />` },
    { title: "Pairs judged", right: true, cell: (/** @type {any} */ row) => count(row.compared) },
    { title: "Wrong", right: true, cell: (/** @type {any} */ row) => count(row.disagreed) },
    { title: "Wrong at most", right: true, cell: (/** @type {any} */ row) => percent(row.wrong_upper_bound, 1) },
    { title: "Would have saved", right: true, cell: (/** @type {any} */ row) => plural(spared(row), "call") },
  ]} /></${Card}>`;

/** Calls whose matches were similar enough to be served. @param {any} row */
function spared({ serves_from: from, by_similarity: steps }) {
  return from === null ? 0 : steps.reduce((/** @type {number} */ sum, /** @type {any} */ step) => sum + (step.similarity >= from ? step.compared : 0), 0);
}

/** @param {{ data: any }} props */
function Numbers({ data }) {
  const { hit, miss, bypass } = data.lookups;
  return html`<div class="grid cards">
    <${Stat} label="Hit rate" value=${percent(hit, hit + miss)} note=${`${count(hit)} of ${count(hit + miss)} look-ups`} />
    <${Stat} label="Saved" value=${money(data.saved_usd)} note="at list prices" />
    <${Stat} label="Stored answers" value=${count(data.entries)} note=${`${count(data.stored)} stored in this range`} />
    <${Stat} label="Not cacheable" value=${count(bypass)} note="requests that do not use the cache" /></div>`;
}

/** @param {{ onClose: () => void }} props */
function Purge({ onClose }) {
  const [fields, setFields] = useState({ scope: "", model: "", cache_key: "" });
  const [busy, setBusy] = useState(false);
  const on = (/** @type {string} */ name) => (/** @type {any} */ event) => setFields({ ...fields, [name]: event.target.value.trim() });
  const body = Object.fromEntries(Object.entries(fields).filter(([, value]) => value));
  const dry = usePoll((signal) => call("purgeCache", { body: { ...body, dry_run: true }, signal }), [body], 0);
  async function purge(/** @type {Event} */ event) {
    event.preventDefault();
    setBusy(true);
    try {
      const { purged } = await call("purgeCache", { body });
      toast(`${count(purged)} answers purged.`);
      onClose();
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "bad");
      setBusy(false);
    }
  }
  return html`<${Dialog} title="Purge stored answers" onClose=${onClose}><form class="form" onSubmit=${purge}>
    <p class="muted">Only answers that all given fields name; without fields, all. No process serves them afterwards.</p>
    <label class="field">Model<input placeholder="openai/gpt-4o" value=${fields.model} onChange=${on("model")} /></label>
    <div class="pair"><label class="field">Scope<input placeholder="key:support" value=${fields.scope} onChange=${on("scope")} /></label>
      <label class="field">Cache key<input value=${fields.cache_key} onChange=${on("cache_key")} /></label></div>
    <${Problem} of=${dry} />
    <div class="form-actions"><button type="button" onClick=${onClose}>Close</button>
      <button class="danger" disabled=${busy || !dry.data?.purged}>Purge ${dry.data ? count(dry.data.purged) : ""} answers</button></div></form></${Dialog}>`;
}
