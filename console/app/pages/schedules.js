/** Which requests become jobs by themselves, and when next? */
import { html, useState } from "../lib/html.js";
import { call } from "../lib/api.js";
import { count, duration } from "../lib/format.js";
import { usePages } from "../lib/poll.js";
import { session } from "../lib/session.js";
import { Card, Id, PageHead, Problem, Status, When } from "../ui/parts.js";
import { Confirm, Dialog } from "../ui/dialog.js";
import { Table } from "../ui/table.js";
import { act } from "../ui/toast.js";

export default function Schedules() {
  const admin = session.value?.role === "admin";
  const pages = usePages((after, signal) => call("schedules", { query: { after, limit: 50 }, signal }), []);
  const [open, setOpen] = useState(/** @type {any} */ (null));
  const close = () => (setOpen(null), pages.reload());
  /** @param {any} schedule */
  async function turn(schedule) {
    const paused = schedule.status === "paused";
    await act(() => call(paused ? "resumeSchedule" : "pauseSchedule", { path: { schedule_id: schedule.id } }), paused ? "The schedule fires again." : "The schedule is paused.");
    pages.reload();
  }
  return html`<${PageHead} title="Schedules"><button class="primary" onClick=${() => setOpen("create")}>Create schedule</button></${PageHead}>
    <${Problem} of=${pages} />
    <${Card} pad=${false}><${Table} label="Schedules" pages=${pages}
      empty=${["No schedules", "A schedule submits the same request as a job at set times."]} noun="schedules"
      columns=${[
        { title: "Schedule", cell: (/** @type {any} */ schedule) => html`<span class="clip" title=${schedule.id}>${schedule.name || html`<${Id} id=${schedule.id} />`}</span>` },
        { title: "Status", cell: (/** @type {any} */ schedule) => html`<span title=${schedule.paused_reason ?? ""}><${Status} status=${schedule.status} /></span>` },
        { title: "Fires", cell: (/** @type {any} */ schedule) => timingOf(schedule) },
        { title: "Model", cell: (/** @type {any} */ schedule) => html`<span class="clip" title=${schedule.request.type}>${schedule.request.body.model}</span>` },
        ...(admin ? [{ title: "Key", cell: (/** @type {any} */ schedule) => (schedule.key ? html`<${Id} id=${schedule.key} />` : html`<span class="muted">none</span>`) }] : []),
        { title: "Next", cell: (/** @type {any} */ schedule) => (schedule.next_run_at && schedule.status === "active" ? html`<${When} at=${schedule.next_run_at} />` : html`<span class="muted">–</span>`) },
        { title: "Last job", cell: (/** @type {any} */ schedule) => (schedule.last_job_id ? html`<a href=${`/ui/jobs/${schedule.last_job_id}`}><${Id} id=${schedule.last_job_id} /></a>` : "") },
        { title: "Fired", right: true, cell: (/** @type {any} */ schedule) => count(schedule.fired) },
        { title: "Skipped", right: true, cell: (/** @type {any} */ schedule) => html`<span title=${schedule.last_error?.message ?? ""}>${count(schedule.skipped)}</span>` },
        { title: "", right: true, cell: (/** @type {any} */ schedule) => html`<span class="nowrap"><button class="small" onClick=${() => turn(schedule)}>${schedule.status === "paused" ? "Resume" : "Pause"}</button>${" "}
          <button class="small danger" onClick=${() => setOpen(schedule)}>Delete</button></span>` },
      ]} /></${Card}>
    ${open === "create" ? html`<${Create} onClose=${close} />` : null}
    ${open?.id ? html`<${Confirm} title="Delete this schedule?" danger action="Delete schedule" text="It does not fire any more. The jobs that it made stay."
      onConfirm=${() => call("deleteSchedule", { path: { schedule_id: open.id } })} onClose=${close} />` : null}`;
}

/** @param {any} schedule */
function timingOf(schedule) {
  return schedule.cron ? html`<span class="mono nowrap" title=${schedule.timezone}>${schedule.cron}</span>` : `every ${duration(schedule.every_s)}`;
}

/** @param {{ onClose: () => void }} props */
function Create({ onClose }) {
  const [fields, setFields] = useState({ name: "", kind: "cron", cron: "30 6 * * MON-FRI", every: "3600", timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC", model: "", prompt: "", catchUp: "skip", maxActive: "" });
  const [problem, setProblem] = useState("");
  const on = (/** @type {string} */ name) => (/** @type {any} */ event) => setFields({ ...fields, [name]: event.target.value });
  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    try {
      await call("createSchedule", { body: scheduleBody(fields) });
      onClose();
    } catch (error) {
      setProblem(/** @type {Error} */ (error).message);
    }
  }
  return html`<${Dialog} title="Create schedule" onClose=${onClose}><form class="form" onSubmit=${submit}>
    ${problem ? html`<div class="note bad" role="alert">${problem}</div>` : null}
    <div class="pair"><label class="field">Name<input maxlength="100" value=${fields.name} onInput=${on("name")} /></label>
      <label class="field">Fires<select value=${fields.kind} onChange=${on("kind")}><option value="cron">at times (cron)</option><option value="every">at an interval</option></select></label></div>
    ${fields.kind === "cron"
      ? html`<div class="pair"><label class="field">Cron: minute, hour, day, month, weekday<input class="mono" required value=${fields.cron} onInput=${on("cron")} /></label>
          <label class="field">Time zone<input required value=${fields.timezone} onInput=${on("timezone")} /></label></div>`
      : html`<label class="field">Seconds between firings<input type="number" min="1" required value=${fields.every} onInput=${on("every")} /></label>`}
    <label class="field">Model<input required placeholder="openai/gpt-4o" value=${fields.model} onInput=${on("model")} /></label>
    <label class="field">Prompt<textarea required value=${fields.prompt} onInput=${on("prompt")}></textarea></label>
    <div class="pair"><label class="field">Missed firings<select value=${fields.catchUp} onChange=${on("catchUp")}><option value="skip">are skipped</option><option value="last">the last one runs late</option></select></label>
      <label class="field">Most open jobs; empty: any number<input type="number" min="1" max="1000" value=${fields.maxActive} onInput=${on("maxActive")} /></label></div>
    <div class="form-actions"><button type="button" onClick=${onClose}>Cancel</button><button class="primary">Create schedule</button></div></form></${Dialog}>`;
}

/** @param {Record<string, string>} fields */
function scheduleBody(fields) {
  return {
    ...(fields.name.trim() ? { name: fields.name.trim() } : {}),
    ...(fields.kind === "cron" ? { cron: fields.cron.trim(), timezone: fields.timezone.trim() } : { every_s: Number(fields.every) }),
    request: { type: "chat.completions", body: { model: fields.model.trim(), messages: [{ role: "user", content: fields.prompt }] } },
    catch_up: fields.catchUp,
    ...(fields.maxActive ? { max_active: Number(fields.maxActive) } : {}),
  };
}
