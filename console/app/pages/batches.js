/** How far are the batches? */
import { html, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { count } from "../lib/format.js";
import { usePages } from "../lib/poll.js";
import { session } from "../lib/session.js";
import { Card, Id, LimitBar, PageHead, Problem, Status, When } from "../ui/parts.js";
import { Confirm } from "../ui/dialog.js";
import { Table } from "../ui/table.js";
import { toast } from "../ui/toast.js";

const OPEN = new Set(["validating", "in_progress", "finalizing"]);

export default function Batches() {
  const admin = session.value?.role === "admin";
  const pages = usePages((after, signal) => call(admin ? "batches" : "ownBatches", { query: { after, limit: 50 }, signal }), [], admin ? undefined : 15_000);
  const [asking, setAsking] = useState(/** @type {any} */ (null));
  async function cancel() {
    await call("cancelBatch", { path: { batch_id: asking.id } });
    toast("The batch is being cancelled.");
    pages.reload();
  }
  return html`<${PageHead} title="Batches" /><${Problem} of=${pages} />
    <${Card} pad=${false}><${Table} label="Batches" pages=${pages}
      empty=${["No batches", "Upload a file with purpose batch, then POST /v1/batches."]} noun="batches"
      columns=${[
        { title: "Batch", cell: (/** @type {any} */ batch) => html`<${Id} id=${batch.id} />` },
        { title: "Status", cell: (/** @type {any} */ batch) => html`<${Status} status=${batch.status} />` },
        ...(admin ? [{ title: "Key", cell: (/** @type {any} */ batch) => (batch.key ? html`<${Id} id=${batch.key} />` : html`<span class="muted">none</span>`) }] : []),
        { title: "Endpoint", cell: (/** @type {any} */ batch) => batch.endpoint },
        { title: "Progress", cell: (/** @type {any} */ batch) => html`<${LimitBar} label="Lines done" level="" used=${batch.request_counts.completed} held=${batch.request_counts.failed} limit=${Math.max(1, batch.request_counts.total)} />` },
        { title: "Done", right: true, cell: (/** @type {any} */ batch) => count(batch.request_counts.completed) },
        { title: "Failed", right: true, cell: (/** @type {any} */ batch) => count(batch.request_counts.failed) },
        { title: "Lines", right: true, cell: (/** @type {any} */ batch) => count(batch.request_counts.total) },
        { title: "Created", cell: (/** @type {any} */ batch) => html`<${When} at=${new Date(batch.created_at * 1000).toISOString()} />` },
        { title: "", right: true, cell: (/** @type {any} */ batch) => (OPEN.has(batch.status) ? html`<button class="small danger" onClick=${() => setAsking(batch)}>Cancel</button>` : null) },
      ]} /></${Card}>
    ${asking ? html`<${Confirm} title="Cancel this batch?" danger action="Cancel batch" text="Lines that have not run are dropped; finished lines are kept." onConfirm=${cancel} onClose=${() => setAsking(null)} />` : null}`;
}
