/** What happened to this job, attempt by attempt, and what came of it? */
import { html, useEffect, useState } from "../lib/html.js";
import { call, followJob } from "../lib/api.js";
import { duration, epoch, moment, money, pretty } from "../lib/format.js";
import { usePoll } from "../lib/poll.js";
import { session } from "../lib/session.js";
import { Card, Copy, Facts, Loading, PageHead, Problem, Segmented, Status, When } from "../ui/parts.js";
import { Confirm } from "../ui/dialog.js";
import { toast } from "../ui/toast.js";
import { ranFor } from "./jobs.js";

const ENDED = new Set(["completed", "failed", "cancelled"]);

/** @param {{ jobId: string }} props */
export default function Job({ jobId }) {
  const admin = session.value?.role === "admin";
  const [ended, setEnded] = useState(false);
  const live = usePoll((signal) => call(admin ? "job" : "ownJob", { path: { job_id: jobId }, signal }), [jobId], ended ? 0 : 1500);
  const job = live.data;
  useEffect(() => setEnded(job ? ENDED.has(job.status) : false), [job?.status]);
  return html`<${PageHead} title="Job" sub=${html`<span class="mono">${jobId}</span>`}>
      <${Copy} text=${jobId} label="Copy id" />${job ? html`<${Actions} job=${job} admin=${admin} reload=${live.reload} />` : null}</${PageHead}>
    <${Problem} error=${live.error} stale=${live.stale} retry=${live.reload} />
    ${live.loading ? html`<${Loading} />` : null}
    ${job ? html`<div class="grid two"><div class="stack"><${Output} job=${job} /><${Code} job=${job} /></div>
      <div class="stack"><${Card} title="Summary"><${Summary} job=${job} /></${Card}><${Card} title="Timeline"><${Timeline} job=${job} /></${Card}></div></div>` : null}`;
}

/** @param {{ job: any }} props */
const Summary = ({ job }) => html`<${Facts} facts=${[
  ["Status", html`<${Status} status=${job.status} />`],
  ["Model", job.model],
  ["Type", job.request_type],
  ["Attempts", job.attempts],
  ["Ran for", ranFor(job)],
  ["Cost", job.cost_usd == null ? null : money(job.cost_usd)],
  ["Key", job.key],
  ["Request", html`<span class="mono">${job.request_id}</span>`],
  ["Expires", job.expires_at ? html`<${When} at=${job.expires_at} />` : null],
  ...Object.entries(job.labels ?? {}).map(([name, value]) => /** @type {[string, any]} */ ([name, value])),
]} />`;

/** @param {{ job: any }} props */
function Timeline({ job }) {
  const steps = /** @type {{ look: string, title: string, detail: string, at: string }[]} */ ([{ look: "good", title: "Submitted", detail: "", at: job.created_at }]);
  const attempts = job.history ?? [];
  for (const attempt of attempts) {
    const failed = attempt.status >= 400 || attempt.code;
    const detail = [attempt.provider && `${attempt.provider}/${attempt.model}`, attempt.key, attempt.code, attempt.duration_ms != null && duration(attempt.duration_ms / 1000), attempt.cost_usd ? money(attempt.cost_usd) : ""];
    steps.push({ look: failed ? "bad" : "good", title: `Attempt ${steps.length}: ${attempt.status || attempt.code || "no answer"}`, detail: detail.filter(Boolean).join(" · "), at: attempt.started_at });
  }
  if (!attempts.length && job.started_at) steps.push({ look: job.completed_at ? "good" : "live", title: `Started (attempt ${job.attempts})`, detail: "", at: job.started_at });
  if (job.completed_at) {
    const detail = job.error ? `${job.error.code ?? job.error.type}: ${job.error.message}` : `after ${duration(epoch(job.completed_at) - epoch(job.created_at))}`;
    steps.push({ look: job.status === "completed" ? "good" : "bad", title: job.status[0].toUpperCase() + job.status.slice(1), detail, at: job.completed_at });
  } else if (!job.started_at) steps.push({ look: "live", title: "Waiting for a worker", detail: (job.paused_by ?? []).map((/** @type {any} */ pause) => `paused: ${pause.scope}`).join(", "), at: "" });
  return html`<ol class="timeline">${steps.map((step) => html`<li class=${step.look}><div><div>${step.title}</div>${step.detail ? html`<div class="detail">${step.detail}</div>` : null}</div>
    <span class="muted nowrap" title=${moment(step.at)}>${step.at ? html`<${When} at=${step.at} />` : ""}</span></li>`)}</ol>`;
}

/** The answer as it grows while the job runs, then the result or the error. @param {{ job: any }} props */
function Output({ job }) {
  const [text, setText] = useState("");
  const running = !ENDED.has(job.status);
  useEffect(() => {
    if (!running) return;
    const stop = new AbortController();
    setText("");
    followJob(job.id, (event) => event.data?.delta && setText((old) => old + event.data.delta), stop.signal).catch(() => {});
    return () => stop.abort();
  }, [job.id, running]);
  if (running) {
    return html`<${Card} title="Live output">${text ? html`<pre tabindex="0" aria-live="polite">${text}</pre>` : html`<p class="muted">${job.status === "processing" ? "Running. Text appears here as the model writes it." : "Waiting for a worker."}</p>`}</${Card}>`;
  }
  if (job.error) return html`<${Card} title="Error"><pre tabindex="0">${pretty(job.error)}</pre></${Card}>`;
  if (job.result === undefined) return html`<${Card} title="Result"><p class="muted">The result is not kept any more, or has no body.</p></${Card}>`;
  return html`<${Result} result=${job.result} />`;
}

/** @param {{ result: any }} props */
function Result({ result }) {
  const words = answerText(result);
  const [view, setView] = useState(words ? "text" : "json");
  const shown = view === "text" ? words : pretty(result);
  return html`<${Card} title="Result" actions=${html`${words ? html`<${Segmented} label="Result view" options=${[["text", "Text"], ["json", "JSON"]]} value=${view} onChange=${setView} />` : null}<${Copy} text=${shown} />`}><pre tabindex="0">${shown}</pre></${Card}>`;
}

/** The text of an answer in any of the formats. @param {any} result @returns {string} */
export function answerText(result) {
  if (!result || typeof result !== "object") return "";
  const chat = result.choices?.map((/** @type {any} */ choice) => choice.message?.content ?? choice.text ?? "").join("\n");
  if (chat) return chat;
  const items = (result.output ?? []).flatMap((/** @type {any} */ item) => item.content ?? []);
  return [...items, ...(Array.isArray(result.content) ? result.content : [])].map((part) => part.text ?? "").join("\n");
}

/** @param {{ job: any, admin: boolean, reload: () => void }} props */
function Actions({ job, admin, reload }) {
  const [asking, setAsking] = useState("");
  const retry = asking === "retry";
  async function act() {
    const name = retry ? (admin ? "retryJob" : "retryOwnJob") : admin ? "cancelJob" : "cancelOwnJob";
    await call(name, { path: { job_id: job.id } });
    toast(retry ? "The job runs again." : "The job is cancelled.");
    reload();
  }
  return html`${ENDED.has(job.status) ? null : html`<button class="danger" onClick=${() => setAsking("cancel")}>Cancel job</button>`}
    ${job.status === "failed" ? html`<button class="primary" onClick=${() => setAsking("retry")}>Retry</button>` : null}
    ${asking ? html`<${Confirm} title=${retry ? "Retry this job?" : "Cancel this job?"} action=${retry ? "Retry" : "Cancel job"} danger=${!retry}
      text=${retry ? "It runs again under its key's limits, and its history is kept." : "A running call is aborted; what it used so far is charged."} onConfirm=${act} onClose=${() => setAsking("")} />` : null}`;
}

/** The same poll from a program. @param {{ job: any }} props */
function Code({ job }) {
  const [language, setLanguage] = useState("curl");
  const text = pollCode(language, job.id, location.origin);
  return html`<${Card} title="Poll from code" actions=${html`<${Segmented} label="Language" options=${[["curl", "curl"], ["python", "Python"], ["js", "JavaScript"]]} value=${language} onChange=${setLanguage} /><${Copy} text=${text} />`}><pre tabindex="0">${text}</pre></${Card}>`;
}

/** @param {string} language @param {string} id @param {string} origin */
function pollCode(language, id, origin) {
  if (language === "curl") return `curl ${origin}/v1/async/jobs/${id} -H "Authorization: Bearer $FINOPS_KEY"`;
  if (language === "python") return `import httpx, os\n\njob = httpx.get("${origin}/v1/async/jobs/${id}", headers={"authorization": f"Bearer {os.environ['FINOPS_KEY']}"}).json()\nprint(job["status"], job.get("result"))`;
  return `const response = await fetch("${origin}/v1/async/jobs/${id}", { headers: { authorization: \`Bearer \${process.env.FINOPS_KEY}\` } });\nconst job = await response.json();\nconsole.log(job.status, job.result);`;
}
