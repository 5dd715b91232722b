/** Who may call, with which limits? */
import { html, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { money, count } from "../lib/format.js";
import { usePages } from "../lib/poll.js";
import { Filters, filterValues } from "../ui/filters.js";
import { Card, Copy, PageHead, Problem, Status, When } from "../ui/parts.js";
import { Confirm, Dialog } from "../ui/dialog.js";
import { Table } from "../ui/table.js";
import { toast } from "../ui/toast.js";

const FILTERS = [
  { name: "status", label: "Status", options: /** @type {[string, string][]} */ (["active", "expired", "revoked"].map((name) => [name, name])) },
  { name: "team", label: "Team" },
  { name: "customer", label: "Customer" },
];

export default function Keys() {
  const values = filterValues(FILTERS.map((filter) => filter.name));
  const pages = usePages((after, signal) => call("keys", { query: { ...values, after, limit: 50 }, signal }), [values]);
  const [open, setOpen] = useState(/** @type {{ kind: string, key?: any } | null} */ (null));
  const close = () => (setOpen(null), pages.reload());
  return html`<${PageHead} title="Keys"><button class="primary" onClick=${() => setOpen({ kind: "create" })}>Create key</button></${PageHead}>
    <${Filters} filters=${FILTERS} />
    <${Problem} of=${pages} />
    <${Card} pad=${false}><${Table} label="Keys" pages=${pages}
      empty=${["No keys match", "A key gives a team models, budgets and rate limits of its own."]} noun="keys"
      columns=${[
        { title: "Name", cell: (/** @type {any} */ key) => html`<span class="nowrap" title=${key.id}>${key.name}</span>` },
        { title: "Status", cell: (/** @type {any} */ key) => html`<${Status} status=${key.status} />` },
        { title: "Value", cell: (/** @type {any} */ key) => html`<span class="mono muted">…${key.hint}</span>` },
        { title: "Team", cell: (/** @type {any} */ key) => key.team },
        { title: "Limits", cell: (/** @type {any} */ key) => html`<span class="nowrap">${limitsOf(key).map((text) => html`<span class="tag">${text}</span> `)}</span>` },
        { title: "Models", cell: (/** @type {any} */ key) => html`<span class="clip" title=${key.models.join(", ")}>${key.models.join(", ").replace(/^\*$/, "all")}</span>` },
        { title: "Created", cell: (/** @type {any} */ key) => (key.configured ? "configuration" : html`<${When} at=${key.created_at} />`) },
        { title: "", right: true, cell: (/** @type {any} */ key) => (key.configured || key.status === "revoked" ? null : html`<span class="nowrap"><button class="small" onClick=${() => setOpen({ kind: "rotate", key })}>Rotate</button> <button class="small danger" onClick=${() => setOpen({ kind: "revoke", key })}>Revoke</button></span>`) },
      ]} /></${Card}>
    ${open?.kind === "create" ? html`<${Create} onClose=${close} />` : null}
    ${open?.kind === "rotate" ? html`<${Rotate} item=${open.key} onClose=${close} />` : null}
    ${open?.kind === "revoke" ? html`<${Confirm} title=${`Revoke ${open.key.name}?`} danger action="Revoke key" onClose=${close}
      text="Calls with this key are refused from now on, on every process. Its waiting jobs do not run." onConfirm=${() => revoke(open.key)} />` : null}`;
}

/** @param {any} key */
function limitsOf(key) {
  const budgets = key.budgets.map((/** @type {any} */ budget) => `${money(budget.limit_usd)} per ${budget.window}`);
  const rates = key.rate_limits.flatMap((/** @type {any} */ rate) => [rate.requests && `${count(rate.requests)} requests per ${rate.window}`, rate.tokens && `${count(rate.tokens)} tokens per ${rate.window}`]);
  return [...budgets, ...rates.filter(Boolean)];
}

/** @param {any} key */
async function revoke(key) {
  await call("revokeKey", { path: { key_id: key.id } });
  toast(`${key.name} is revoked.`);
}

/** @param {{ onClose: () => void }} props */
function Create({ onClose }) {
  const [fields, setFields] = useState({ name: "", team: "", models: "", budget: "", window: "1d", requests: "" });
  const [made, setMade] = useState(/** @type {any} */ (null));
  const [problem, setProblem] = useState("");
  const on = (/** @type {string} */ name) => (/** @type {any} */ event) => setFields({ ...fields, [name]: event.target.value });
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    try {
      setMade(await call("createKey", { body: keyBody(fields) }));
    } catch (error) {
      setProblem(/** @type {Error} */ (error).message);
    }
  }
  if (made) return html`<${Made} value=${made.value} onClose=${onClose} />`;
  return html`<${Dialog} title="Create key" onClose=${onClose}><form class="form" onSubmit=${submit}>
    ${problem ? html`<div class="note bad" role="alert">${problem}</div>` : null}
    <div class="pair"><label class="field">Name<input required maxlength="100" value=${fields.name} onInput=${on("name")} /></label>
      <label class="field">Team<input value=${fields.team} onInput=${on("team")} /></label></div>
    <label class="field">Models, separated by commas; empty allows all<input placeholder="openai/*, anthropic/claude-*" value=${fields.models} onInput=${on("models")} /></label>
    <div class="pair"><label class="field">Budget in USD<input type="number" min="0" step="any" value=${fields.budget} onInput=${on("budget")} /></label>
      <label class="field">Budget window<select value=${fields.window} onChange=${on("window")}>${["1h", "1d", "1w", "1mo"].map((name) => html`<option value=${name}>${name}</option>`)}</select></label></div>
    <label class="field">Requests per minute<input type="number" min="1" value=${fields.requests} onInput=${on("requests")} /></label>
    <div class="form-actions"><button type="button" onClick=${onClose}>Cancel</button><button class="primary">Create key</button></div></form></${Dialog}>`;
}

/** @param {Record<string, string>} fields */
function keyBody(fields) {
  const models = fields.models.split(",").map((name) => name.trim()).filter(Boolean);
  return {
    name: fields.name.trim(),
    ...(fields.team.trim() ? { team: fields.team.trim() } : {}),
    ...(models.length ? { models } : {}),
    ...(fields.budget ? { budget: { limit_usd: Number(fields.budget), window: fields.window } } : {}),
    ...(fields.requests ? { rate_limit: { requests: Number(fields.requests), window: "1m" } } : {}),
  };
}

/** @param {{ item: any, onClose: () => void }} props */
function Rotate({ item, onClose }) {
  const [grace, setGrace] = useState("3600");
  const [made, setMade] = useState(/** @type {any} */ (null));
  async function go() {
    try {
      setMade(await call("rotateKey", { path: { key_id: item.id }, body: { grace_s: Number(grace) } }));
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "bad");
    }
  }
  if (made) return html`<${Made} value=${made.value} onClose=${onClose} />`;
  return html`<${Dialog} title=${`Rotate ${item.name}`} onClose=${onClose}><p>The key gets a new value. The old one works for the grace period.</p>
    <label class="field">Grace period<select value=${grace} onChange=${(/** @type {any} */ event) => setGrace(event.target.value)}><option value="0">none</option><option value="3600">1 hour</option><option value="86400">1 day</option></select></label>
    <div class="form-actions"><button onClick=${onClose}>Cancel</button><button class="primary" onClick=${go}>Rotate key</button></div></${Dialog}>`;
}

/** @param {{ value: string, onClose: () => void }} props */
const Made = ({ value, onClose }) => html`<${Dialog} title="Copy the key now" onClose=${onClose}>
  <p>This is the only time that the value is shown; only its hash is stored.</p>
  <div class="secret"><code>${value}</code><${Copy} text=${value} /></div>
  <div class="form-actions"><button class="primary" onClick=${onClose}>Done</button></div></${Dialog}>`;
