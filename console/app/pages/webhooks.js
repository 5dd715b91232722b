/** Which events reached their receivers, and which did not? */
import { html, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { duration } from "../lib/format.js";
import { usePages } from "../lib/poll.js";
import { Filters, filterValues } from "../ui/filters.js";
import { Card, Copy, Id, PageHead, Problem, Status, When } from "../ui/parts.js";
import { Dialog } from "../ui/dialog.js";
import { Table } from "../ui/table.js";
import { act, toast } from "../ui/toast.js";

const FILTERS = [
  { name: "status", label: "Status", options: /** @type {[string, string][]} */ (["pending", "delivered", "failed"].map((name) => [name, name])) },
  { name: "webhook", label: "Webhook" },
  { name: "job", label: "Job", placeholder: "Id of a job" },
  { name: "event", label: "Event", placeholder: "Event" },
];

export default function Webhooks() {
  const values = filterValues(FILTERS.map((filter) => filter.name));
  const pages = usePages((after, signal) => call("deliveries", { query: { ...values, after, limit: 50 }, signal }), [values]);
  const [open, setOpen] = useState(/** @type {any} */ (null));
  return html`<${PageHead} title="Webhooks"><${Secret} /></${PageHead}>
    <${Filters} filters=${FILTERS} /><${Problem} of=${pages} />
    <${Card} pad=${false}><${Table} label="Deliveries" pages=${pages}
      empty=${["No deliveries match", "Add x-bf-async-webhook to a job to be called back when it ends."]} noun="deliveries"
      columns=${[
        { title: "Delivery", cell: (/** @type {any} */ one) => html`<button class="small plain mono" onClick=${() => setOpen(one)}><${Id} id=${one.id} /></button>` },
        { title: "Status", cell: (/** @type {any} */ one) => html`<${Status} status=${one.status} />` },
        { title: "Event", cell: (/** @type {any} */ one) => one.event },
        { title: "To", cell: (/** @type {any} */ one) => html`<span class="clip" title=${one.url}>${one.webhook || one.url}</span>` },
        { title: "Job", cell: (/** @type {any} */ one) => (one.job_id ? html`<a href=${`/ui/jobs/${one.job_id}`}><${Id} id=${one.job_id} /></a>` : "") },
        { title: "Attempts", right: true, cell: (/** @type {any} */ one) => one.attempts.length },
        { title: "Created", right: true, cell: (/** @type {any} */ one) => html`<${When} at=${one.created_at} />` },
      ]} /></${Card}>
    ${open ? html`<${Delivery} delivery=${open} onClose=${() => (setOpen(null), pages.reload())} />` : null}`;
}

/** @param {{ delivery: any, onClose: () => void }} props */
function Delivery({ delivery, onClose }) {
  async function again() {
    if (await act(() => call("redeliver", { path: { delivery_id: delivery.id } }), "The event is sent again.")) onClose();
  }
  return html`<${Dialog} title=${delivery.event} onClose=${onClose}><p class="muted mono">${delivery.url}</p>${delivery.reason ? html`<div class="note warn">${delivery.reason}</div>` : null}
    <ol class="timeline">${delivery.attempts.map((/** @type {any} */ attempt) => html`<li class=${attempt.status >= 200 && attempt.status < 300 ? "good" : "bad"}>
      <div><div>${attempt.status || attempt.error || "no answer"}, ${duration(attempt.duration_ms / 1000)}</div>${attempt.answer ? html`<pre tabindex="0">${attempt.answer}</pre>` : null}</div><${When} at=${attempt.at} /></li>`)}</ol>
    <div class="form-actions"><button onClick=${onClose}>Close</button><button class="primary" onClick=${again}>Send again</button></div></${Dialog}>`;
}

function Secret() {
  const [secret, setSecret] = useState("");
  async function reveal() {
    try {
      setSecret((await call("webhookSecret")).secret);
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "bad");
    }
  }
  return html`<button onClick=${reveal}>Signing secret</button>
    ${secret ? html`<${Dialog} title="Signing secret" onClose=${() => setSecret("")}><p class="muted">Signs callbacks of calls without a virtual key (Standard Webhooks). Keys and configured webhooks have secrets of their own.</p>
      <div class="secret"><code>${secret}</code><${Copy} text=${secret} /></div><div class="form-actions"><button class="primary" onClick=${() => setSecret("")}>Done</button></div></${Dialog}>` : null}`;
}
