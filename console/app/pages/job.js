/** What happened to this job, attempt by attempt, and what came of it? */
import { html, useEffect, useState } from "../lib/html.js";
import { call, followJob } from "../lib/api.js";
import { count, duration, epoch, moment, money, plural, pretty } from "../lib/format.js";
import { usePoll } from "../lib/poll.js";
import { session } from "../lib/session.js";
import { answerText } from "../lib/surfaces.js";
import { Card, Copy, Facts, Loading, PageHead, Problem, Segmented, Status, When } from "../ui/parts.js";
import { Confirm, Dialog } from "../ui/dialog.js";
import { act, toast } from "../ui/toast.js";
import { Table } from "../ui/table.js";
import { ranFor } from "./jobs.js";

const ENDED = new Set(["completed", "failed", "cancelled"]);

/** @param {{ jobId: string }} props */
export default function Job({ jobId }) {
  const admin = session.value?.role !== "key";
  const [done, setDone] = useState(false); // the others may be retried, here or elsewhere
  const live = usePoll((signal) => call(admin ? "job" : "ownJob", { path: { job_id: jobId }, signal }), [jobId], done ? 0 : 1500);
  const job = live.data;
  useEffect(() => setDone(job?.status === "completed"), [job?.status]);
  return html`<${PageHead} title="Job" sub=${html`<span class="mono">${jobId}</span>`}>
      <${Copy} text=${jobId} label="Copy id" />${job ? html`<${Actions} job=${job} admin=${admin} reload=${live.reload} />` : null}</${PageHead}>
    <${Problem} of=${live} />
    ${live.loading ? html`<${Loading} />` : null}
    ${job ? html`<div class="grid two"><div class="stack"><${Output} job=${job} />${admin ? html`<${Costs} job=${job} />` : null}<${Code} job=${job} /></div>
      <div class="stack"><${Card} title="Summary"><${Summary} job=${job} /></${Card}><${Card} title="Timeline"><${Timeline} job=${job} /></${Card}><${Deliveries} job=${job} admin=${admin} /></div></div>` : null}`;
}

/** @param {{ job: any }} props */
const Summary = ({ job }) => html`<${Facts} facts=${[
  ["Status", html`<${Status} status=${job.status} />`],
  ["Model", job.model],
  ["Type", job.request_type],
  ["Attempts", job.attempts],
  ["Ran for", ranFor(job)],
  ["Cost", costOf(job)],
  ["Key", job.key],
  ["Request", html`<span class="mono clip" title=${job.request_id}>${job.request_id}</span>`],
  ["Expires", job.expires_at ? html`<${When} at=${job.expires_at} />` : null],
  ...Object.entries(job.labels ?? {}).map(([name, value]) => /** @type {[string, any]} */ ([name, value])),
]} />`;

/** What the attempts of a job cost together; empty before the first has ended. @param {any} job */
function costOf(job) {
  const costs = (job.history ?? []).map((/** @type {any} */ attempt) => attempt.cost_usd).filter((/** @type {any} */ cost) => cost != null);
  return costs.length ? money(costs.reduce((/** @type {number} */ sum, /** @type {number} */ cost) => sum + cost, 0)) : "";
}

/** @param {{ job: any }} props */
function Timeline({ job }) {
  const steps = /** @type {{ look: string, title: string, detail: string, at: string }[]} */ ([{ look: "good", title: "Submitted", detail: job.lane ? `lane ${job.lane}, may save ${money(job.expected_saving_usd)}` : "", at: job.created_at }]);
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

/** What each call of the job cost, by which price, and its request where content is kept. @param {{ job: any }} props */
function Costs({ job }) {
  const [booked, setBooked] = useState(false);
  const live = usePoll(async (signal) => {
    const { data } = await call("calls", { query: { job: job.id, content: "true", limit: 20 }, signal });
    return Promise.all(data.map(async (/** @type {any} */ row) => ({ ...row, price: await priceOf(row, signal) })));
  }, [job.id, job.status], booked ? 0 : 1500);
  const rows = live.data ?? [];
  useEffect(() => setBooked(ENDED.has(job.status) && rows.length > 0), [job.status, rows.length]);
  const kept = rows.find((/** @type {any} */ row) => row.content)?.content;
  return html`<${Problem} of=${live} />
    ${rows.length ? html`<${Card} title="Cost" pad=${false}><${Table} label="Cost" rows=${rows} columns=${[
      { title: "Model", cell: (/** @type {any} */ row) => html`<span class="clip">${row.provider}/${row.model}</span>` },
      { title: "Input", right: true, cell: (/** @type {any} */ row) => count(row.input_tokens) },
      { title: "Cached", right: true, cell: (/** @type {any} */ row) => count(row.cached_tokens) },
      { title: "Output", right: true, cell: (/** @type {any} */ row) => count(row.output_tokens) },
      { title: "Cost", right: true, cell: (/** @type {any} */ row) => (row.priced ? money(row.cost_usd) : html`<span class="muted">no price</span>`) },
      { title: "Price", cell: (/** @type {any} */ row) => html`<div style=${{ minWidth: "150px" }}>${row.price}</div>` },
    ]} /></${Card}>` : null}
    ${kept ? html`<${Card} title="Request" actions=${html`<${Copy} text=${pretty(kept.request ?? kept)} />`}><pre tabindex="0">${pretty(kept.request ?? kept)}</pre></${Card}>` : null}`;
}

/** Where the price of a call comes from, as text. @param {any} row @param {AbortSignal} signal */
async function priceOf(row, signal) {
  if (!row.priced || !row.provider) return "";
  const { data } = await call("prices", { query: { provider: row.provider, model: row.model, limit: 20 }, signal });
  const price = data.find((/** @type {any} */ one) => one.model === row.model) ?? data[0] ?? (await call("prices", { query: { provider: row.provider, model: "*", limit: 1 }, signal })).data[0];
  if (!price) return "";
  const units = Object.entries(price.prices).filter(([unit]) => unit === "input" || unit === "output").map(([unit, usd]) => `${money(/** @type {number} */ (usd))} ${unit}`).join(", ");
  return `${price.source}${units ? `: ${units} per million` : ""}`;
}

/** @param {{ job: any, admin: boolean }} props */
function Deliveries({ job, admin }) {
  const live = usePoll((signal) => call("jobDeliveries", { path: { job_id: job.id }, signal }), [job.id, job.status]);
  const rows = live.data?.data ?? [];
  const again = (/** @type {any} */ one) => act(() => call("redeliver", { path: { delivery_id: one.id } }), "The event is sent again.").then(live.reload);
  if (!rows.length) return null;
  return html`<${Card} title="Deliveries"><ol class="timeline">${rows.map((/** @type {any} */ one) => html`<li key=${one.id} class=${one.status === "delivered" ? "good" : one.status === "failed" ? "bad" : "live"}>
    <div><div>${one.event} <${Status} status=${one.status} /></div><div class="detail">${one.webhook || one.url}, ${plural(one.attempts.length, "attempt")}</div></div>
    ${admin && one.status !== "pending" ? html`<button class="small" onClick=${() => again(one)}>Send again</button>` : null}</li>`)}</ol></${Card}>`;
}

/** @param {{ job: any, admin: boolean, reload: () => void }} props */
function Actions({ job, admin, reload }) {
  const [asking, setAsking] = useState("");
  const close = () => setAsking("");
  async function cancel() {
    await call(admin ? "cancelJob" : "cancelOwnJob", { path: { job_id: job.id } });
    toast("The job is cancelled.");
    reload();
  }
  return html`${ENDED.has(job.status) ? null : html`<button class="danger" onClick=${() => setAsking("cancel")}>Cancel job</button>`}
    ${job.status === "failed" ? html`<button class="primary" onClick=${() => setAsking("retry")}>Retry</button>` : null}
    ${asking === "cancel" ? html`<${Confirm} title="Cancel this job?" action="Cancel job" danger text="A running call is aborted; what it used so far is charged." onConfirm=${cancel} onClose=${close} />` : null}
    ${asking === "retry" ? html`<${Retry} job=${job} name=${admin ? "retryJob" : "retryOwnJob"} onClose=${() => (close(), reload())} />` : null}`;
}

/** @param {{ job: any, name: "retryJob" | "retryOwnJob", onClose: () => void }} props */
function Retry({ job, name, onClose }) {
  const [fields, setFields] = useState({ model: job.model, priority: "", deadline: "", fallbacks: "" });
  const [problem, setProblem] = useState("");
  const on = (/** @type {string} */ field) => (/** @type {any} */ event) => setFields({ ...fields, [field]: event.target.value });
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    const fallbacks = fields.fallbacks.split(",").map((model) => model.trim()).filter(Boolean);
    const body = {
      ...(fields.model.trim() && fields.model !== job.model ? { model: fields.model.trim() } : {}),
      ...(fields.priority ? { priority: fields.priority } : {}),
      ...(fields.deadline ? { deadline_s: Number(fields.deadline) } : {}),
      ...(fallbacks.length ? { fallbacks } : {}),
    };
    try {
      await call(name, { path: { job_id: job.id }, body });
      toast("The job runs again.");
      onClose();
    } catch (error) {
      setProblem(/** @type {Error} */ (error).message);
    }
  }
  return html`<${Dialog} title="Retry this job" onClose=${onClose}><form class="form" onSubmit=${submit}>
    ${problem ? html`<div class="note bad" role="alert">${problem}</div>` : null}
    <p class="muted">It runs again under its key's limits, and its history is kept.</p>
    <label class="field">Model<input required value=${fields.model} onInput=${on("model")} /></label>
    <div class="pair"><label class="field">Priority<select value=${fields.priority} onChange=${on("priority")}><option value="">as before</option>${["high", "normal", "low"].map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
      <label class="field">Deadline in seconds from now<input type="number" min="1" value=${fields.deadline} onInput=${on("deadline")} /></label></div>
    <label class="field">Fallbacks, separated by commas<input placeholder="anthropic/claude-sonnet-4-5" value=${fields.fallbacks} onInput=${on("fallbacks")} /></label>
    <div class="form-actions"><button type="button" onClick=${onClose}>Cancel</button><button class="primary">Retry</button></div></form></${Dialog}>`;
}

/** The same poll from a program. @param {{ job: any }} props */
function Code({ job }) {
  const [language, setLanguage] = useState("curl");
  const text = pollCode(language, job.id, location.origin);
  return html`<${Card} title="Poll from code" actions=${html`<${Segmented} label="Language" options=${[["curl", "curl"], ["python", "Python"], ["js", "JavaScript"]]} value=${language} onChange=${setLanguage} /><${Copy} text=${text} />`}><pre class="code" tabindex="0">${text}</pre></${Card}>`;
}

/** @param {string} language @param {string} id @param {string} origin */
function pollCode(language, id, origin) {
  if (language === "curl") return `curl ${origin}/v1/async/jobs/${id} \\\n  -H "Authorization: Bearer $FINOPS_KEY"`;
  if (language === "python") return `import httpx, os\n\njob = httpx.get("${origin}/v1/async/jobs/${id}", headers={"authorization": f"Bearer {os.environ['FINOPS_KEY']}"}).json()\nprint(job["status"], job.get("result"))`;
  return `const response = await fetch("${origin}/v1/async/jobs/${id}", { headers: { authorization: \`Bearer \${process.env.FINOPS_KEY}\` } });\nconst job = await response.json();\nconsole.log(job.status, job.result);`;
}
