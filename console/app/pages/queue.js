/** Does work flow, and who waits? */
import { html, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { count, duration, percent } from "../lib/format.js";
import { usePages, usePoll } from "../lib/poll.js";
import { Card, Id, PageHead, Problem, Stat, When } from "../ui/parts.js";
import { Confirm, Dialog } from "../ui/dialog.js";
import { Table } from "../ui/table.js";
import { act, toast } from "../ui/toast.js";

export default function Queue() {
  const live = usePoll((signal) => call("queue", { signal }), []);
  const queue = live.data;
  const [pausing, setPausing] = useState(false);
  return html`<${PageHead} title="Queue"><button onClick=${() => setPausing(true)}>Pause jobs</button></${PageHead}>
    <${Problem} of=${live} />
    <div class="stack">
      ${queue ? html`<div class="grid cards">
          <${Stat} label="Waiting" value=${count(queue.depth)} note=${queue.depth ? `oldest ${duration(queue.oldest_age_s)}` : "nothing waits"} href="/ui/jobs?status=pending" />
          <${Stat} label="Running" value=${count(queue.running)} href="/ui/jobs?status=processing" />
          <${Stat} label="Scheduled for later" value=${count(queue.deferred)} />
          <${Stat} label="Workers" value=${count(queue.workers?.length)} note=${queue.workers?.length ? "" : "no job runs without one"} bad=${queue.workers?.length === 0} />
          <${Stat} label="Dead letters" value=${count(queue.dead)} bad=${queue.dead > 0} /></div>
        <${Pauses} pausing=${pausing} close=${() => setPausing(false)} />
        <div class="grid halves"><${Card} title="Priorities" pad=${false}><${Table} label="Priorities" rows=${Object.entries(queue.priorities).map(([name, one]) => ({ name, ...one }))} keyOf=${(/** @type {any} */ row) => row.name} columns=${[
            { title: "Priority", cell: (/** @type {any} */ row) => row.name },
            { title: "Waiting", right: true, cell: (/** @type {any} */ row) => count(row.depth) },
            { title: "Oldest", right: true, cell: (/** @type {any} */ row) => (row.depth ? duration(row.oldest_age_s) : "") },
          ]} /></${Card}><${Callers} callers=${queue.callers} /></div>
        <${Workers} workers=${queue.workers ?? []} />` : null}
      <${DeadLetters} />
    </div>`;
}

/** Callers with waiting jobs, and the share of the next claims that their weight gives them. @param {{ callers: Record<string, number> }} props */
function Callers({ callers }) {
  const keys = usePoll((signal) => call("keys", { query: { limit: 100 }, signal }), [], 30_000);
  const known = new Map((keys.data?.data ?? []).map((/** @type {any} */ key) => [key.id, key]));
  const rows = Object.entries(callers).map(([id, waiting]) => ({ id, waiting, name: known.get(id)?.name ?? id, weight: known.get(id)?.weight ?? 1 }));
  const total = rows.reduce((sum, row) => sum + row.weight, 0);
  return html`<${Card} title="Callers with waiting jobs" pad=${false}><${Table} label="Callers" rows=${rows}
    empty=${["Nobody waits", "Fair shares decide who goes first when jobs queue up."]}
    columns=${[
      { title: "Caller", cell: (/** @type {any} */ row) => html`<span class="clip" title=${row.id}>${row.name || "without a key"}</span>` },
      { title: "Waiting", right: true, cell: (/** @type {any} */ row) => count(row.waiting) },
      { title: "Weight", right: true, cell: (/** @type {any} */ row) => row.weight },
      { title: "Share", right: true, cell: (/** @type {any} */ row) => percent(row.weight, total) },
    ]} /></${Card}>`;
}

/** @param {{ workers: any[] }} props */
const Workers = ({ workers }) => html`<${Card} title="Workers" pad=${false}><${Table} label="Workers" rows=${workers}
  empty=${["No worker runs", "Start one with finops worker, or raise --workers of finops serve."]}
  columns=${[
    { title: "Worker", cell: (/** @type {any} */ worker) => html`<span class="mono clip" title=${worker.id}>${worker.id}</span>` },
    { title: "Version", cell: (/** @type {any} */ worker) => worker.version ?? "" },
    { title: "Running", right: true, cell: (/** @type {any} */ worker) => (worker.running == null ? "" : `${count(worker.running)} of ${count(worker.concurrency)}`) },
    { title: "Started", right: true, cell: (/** @type {any} */ worker) => (worker.started_at ? html`<${When} at=${worker.started_at} />` : "") },
  ]} /></${Card}>`;

const KINDS = ["all", "key", "team", "provider", "model", "priority"];

/** @param {{ pausing: boolean, close: () => void }} props */
function Pauses({ pausing, close }) {
  const live = usePoll((signal) => call("pauses", { signal }), []);
  const rows = live.data?.data ?? [];
  const resume = (/** @type {any} */ pause) => act(() => call("resume", { path: { scope: pause.scope } }), "Its jobs are claimed again.").then(live.reload);
  return html`<${Problem} of=${live} />
    ${rows.length ? html`<${Card} title="Pauses" pad=${false}><${Table} label="Pauses" rows=${rows} keyOf=${(/** @type {any} */ pause) => pause.scope} columns=${[
      { title: "Scope", cell: (/** @type {any} */ pause) => html`<span class="mono">${pause.scope}</span>` },
      { title: "Reason", cell: (/** @type {any} */ pause) => html`<span class="clip" title=${pause.reason}>${pause.reason}</span>` },
      { title: "Since", cell: (/** @type {any} */ pause) => html`<${When} at=${pause.created_at} />` },
      { title: "Until", cell: (/** @type {any} */ pause) => (pause.until ? html`<${When} at=${pause.until} />` : "resumed") },
      { title: "", right: true, cell: (/** @type {any} */ pause) => html`<button class="small" onClick=${() => resume(pause)}>Resume</button>` },
    ]} /></${Card}>` : null}
    ${pausing ? html`<${NewPause} onClose=${() => (close(), live.reload())} />` : null}`;
}

/** @param {{ onClose: () => void }} props */
function NewPause({ onClose }) {
  const [fields, setFields] = useState({ kind: "provider", name: "", reason: "", minutes: "" });
  const [problem, setProblem] = useState("");
  const on = (/** @type {string} */ name) => (/** @type {any} */ event) => setFields({ ...fields, [name]: event.target.value });
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    const scope = fields.kind === "all" ? "all" : `${fields.kind}:${fields.name.trim()}`;
    const until = fields.minutes ? { until: new Date(Date.now() + Number(fields.minutes) * 60_000).toISOString() } : {};
    try {
      await call("pause", { path: { scope }, body: { reason: fields.reason.trim(), ...until } });
      toast("Its waiting jobs are not claimed any more.");
      onClose();
    } catch (error) {
      setProblem(/** @type {Error} */ (error).message);
    }
  }
  return html`<${Dialog} title="Pause waiting jobs" onClose=${onClose}><form class="form" onSubmit=${submit}>
    ${problem ? html`<div class="note bad" role="alert">${problem}</div>` : null}
    <p class="muted">Running jobs finish and new ones are accepted. Deadlines of waiting jobs go on.</p>
    <div class="pair"><label class="field">Jobs of<select value=${fields.kind} onChange=${on("kind")}>${KINDS.map((name) => html`<option value=${name}>${name === "all" ? "everyone" : `a ${name}`}</option>`)}</select></label>
      ${fields.kind === "all" ? null : html`<label class="field">Name<input required value=${fields.name} onInput=${on("name")} /></label>`}</div>
    <div class="pair"><label class="field">Reason<input required maxlength="500" value=${fields.reason} onInput=${on("reason")} /></label>
      <label class="field">Minutes; empty: until resumed<input type="number" min="1" value=${fields.minutes} onInput=${on("minutes")} /></label></div>
    <div class="form-actions"><button type="button" onClick=${onClose}>Cancel</button><button class="primary">Pause</button></div></form></${Dialog}>`;
}

function DeadLetters() {
  const pages = usePages((after, signal) => call("deadJobs", { query: { after, limit: 50 }, signal }), []);
  const [asking, setAsking] = useState(/** @type {any} */ (null));
  async function retry() {
    await call("retryJob", { path: { job_id: asking.id } });
    toast("The job runs again.");
    pages.reload();
  }
  return html`<${Card} title="Dead letters" pad=${false}><${Problem} of=${pages} />
    <${Table} label="Dead letters" pages=${pages} href=${(/** @type {any} */ job) => `/ui/jobs/${job.id}`}
      empty=${["No dead letters", "Jobs whose workers died on every attempt wait here for a decision."]} noun="jobs"
      columns=${[
        { title: "Job", cell: (/** @type {any} */ job) => html`<${Id} id=${job.id} />` },
        { title: "Model", cell: (/** @type {any} */ job) => job.model },
        { title: "Attempts", right: true, cell: (/** @type {any} */ job) => job.attempts },
        { title: "Ended", cell: (/** @type {any} */ job) => html`<${When} at=${job.completed_at} />` },
        { title: "", right: true, cell: (/** @type {any} */ job) => html`<button class="small" onClick=${() => setAsking(job)}>Retry</button>` },
      ]} />
    ${asking ? html`<${Confirm} title="Retry this job?" text="It runs again under its key's limits." action="Retry" onConfirm=${retry} onClose=${() => setAsking(null)} />` : null}</${Card}>`;
}
