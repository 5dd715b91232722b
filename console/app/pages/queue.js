/** Does work flow, and who waits? */
import { html, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { count, duration } from "../lib/format.js";
import { usePages, usePoll } from "../lib/poll.js";
import { Card, Empty, Id, PageHead, Problem, Stat, When } from "../ui/parts.js";
import { Confirm } from "../ui/dialog.js";
import { More, Table } from "../ui/table.js";
import { toast } from "../ui/toast.js";

export default function Queue() {
  const live = usePoll((signal) => call("queue", { signal }), []);
  const queue = live.data;
  return html`<${PageHead} title="Queue" />
    <${Problem} error=${live.error} stale=${live.stale} retry=${live.reload} />
    <div class="stack">
      ${queue ? html`<div class="grid cards">
          <${Stat} label="Waiting" value=${count(queue.depth)} note=${queue.depth ? `oldest ${duration(queue.oldest_age_s)}` : "nothing waits"} />
          <${Stat} label="Running" value=${count(queue.running)} />
          <${Stat} label="Scheduled for later" value=${count(queue.deferred)} />
          <${Stat} label="Dead letters" value=${count(queue.dead)} bad=${queue.dead > 0} /></div>
        <div class="grid halves"><${Card} title="Priorities" pad=${false}><${Table} label="Priorities" rows=${Object.entries(queue.priorities)} keyOf=${([name]) => name} columns=${[
            { title: "Priority", cell: ([name]) => name },
            { title: "Waiting", right: true, cell: ([, one]) => count(one.depth) },
            { title: "Oldest", right: true, cell: ([, one]) => (one.depth ? duration(one.oldest_age_s) : "") },
          ]} /></${Card}>
          <${Card} title="Callers with waiting jobs" pad=${false}><${Table} label="Callers" rows=${Object.entries(queue.callers)} keyOf=${([name]) => name}
            empty=${html`<${Empty} title="Nobody waits">Fair shares decide who goes first when jobs queue up.</${Empty}>`}
            columns=${[{ title: "Caller", cell: ([name]) => name || "without a key" }, { title: "Waiting", right: true, cell: ([, waiting]) => count(waiting) }]} /></${Card}></div>` : null}
      <${DeadLetters} />
    </div>`;
}

function DeadLetters() {
  const pages = usePages((after, signal) => call("deadJobs", { query: { after, limit: 50 }, signal }), [], 5000);
  const [asking, setAsking] = useState(/** @type {any} */ (null));
  async function retry() {
    await call("retryJob", { path: { job_id: asking.id } });
    toast("The job runs again.");
    pages.reload();
  }
  return html`<${Card} title="Dead letters" pad=${false}><${Problem} error=${pages.error} stale=${pages.stale} />
    <${Table} label="Dead letters" rows=${pages.rows} loading=${pages.loading} keyOf=${(/** @type {any} */ job) => job.id} href=${(/** @type {any} */ job) => `/ui/jobs/${job.id}`}
      empty=${html`<${Empty} title="No dead letters">Jobs whose workers died on every attempt wait here for a decision.</${Empty}>`} foot=${html`<${More} pages=${pages} noun="jobs" />`}
      columns=${[
        { title: "Job", cell: (/** @type {any} */ job) => html`<${Id} id=${job.id} />` },
        { title: "Model", cell: (/** @type {any} */ job) => job.model },
        { title: "Attempts", right: true, cell: (/** @type {any} */ job) => job.attempts },
        { title: "Ended", cell: (/** @type {any} */ job) => html`<${When} at=${job.completed_at} />` },
        { title: "", right: true, cell: (/** @type {any} */ job) => html`<button class="small" onClick=${() => setAsking(job)}>Retry</button>` },
      ]} />
    ${asking ? html`<${Confirm} title="Retry this job?" text="It runs again under its key's limits." action="Retry" onConfirm=${retry} onClose=${() => setAsking(null)} />` : null}</${Card}>`;
}
