/** Ask any model: now, as a stream, or as a job; with the same call as code. */
import { html, useRef, useState } from "../lib/html.js";
import { call, request, textOf } from "../lib/api.js";
import { duration, pretty } from "../lib/format.js";
import { usePoll } from "../lib/poll.js";
import { current, navigate, setQuery } from "../lib/router.js";
import { SURFACES, answerText, codeFor } from "../lib/surfaces.js";
import { Card, Copy, PageHead, Segmented } from "../ui/parts.js";

/** @typedef {import("../lib/surfaces.js").Mode} Mode */
/** @typedef {import("../lib/surfaces.js").Surface} Surface */

const MODES = /** @type {Record<Mode, string>} */ ({ now: "Now", stream: "Stream", job: "As a job" });

export default function TryIt() {
  const query = current.value.query;
  const surface = SURFACES[query.get("surface") ?? ""] ?? SURFACES.chat;
  const mode = surface.modes.find((one) => one === query.get("mode")) ?? "now";
  const models = usePoll((signal) => call("models", { signal }), [], 0);
  const [prompt, setPrompt] = useState("Write a haiku about queues.");
  const names = (models.data?.data ?? []).map((/** @type {any} */ one) => one.id);
  const model = query.get("model") ?? names[0] ?? "";
  const run = useRun();
  const send = (/** @type {Event} */ event) => {
    event.preventDefault();
    run.start((signal, onText) => ask({ surface, model, prompt, mode, signal, onText }));
  };
  const modes = surface.modes.map((one) => /** @type {[string, string]} */ ([one, MODES[one]]));
  return html`<${PageHead} title="Try it" /><div class="grid halves"><div class="stack">
      <${Card} title="Request"><form class="form" onSubmit=${send}>
        <div class="pair"><label class="field">API<select value=${query.get("surface") ?? "chat"} onChange=${(/** @type {any} */ event) => setQuery({ surface: event.target.value })}>${Object.entries(SURFACES).map(([name, one]) => html`<option value=${name}>${one.title}</option>`)}</select></label>
          <label class="field">Model<input list="models" required value=${model} onInput=${(/** @type {any} */ event) => setQuery({ model: event.target.value })} /><datalist id="models">${names.slice(0, 200).map((/** @type {string} */ name) => html`<option value=${name} />`)}</datalist></label></div>
        <label class="field">Prompt<textarea required value=${prompt} onInput=${(/** @type {any} */ event) => setPrompt(event.target.value)}></textarea></label>
        <div class="row"><${Segmented} label="How to run it" options=${modes} value=${mode} onChange=${(/** @type {string} */ value) => setQuery({ mode: value })} /><span class="grow"></span>
          ${run.busy ? html`<button type="button" onClick=${run.stop}>Stop</button>` : null}<button class="primary" disabled=${run.busy || !model}>Send</button></div></form></${Card}></div>
    <div class="stack"><${Answer} answer=${run.answer} busy=${run.busy} /><${Code} surface=${surface} model=${model} prompt=${prompt} mode=${mode} /></div></div>`;
}

/** One request at a time: its text as it comes, how long it took or what went wrong. */
function useRun() {
  const [answer, setAnswer] = useState({ text: "", note: "", bad: false });
  const [busy, setBusy] = useState(false);
  const running = useRef(/** @type {AbortController | null} */ (null));
  /** @param {(signal: AbortSignal, onText: (text: string) => void) => Promise<void>} send */
  async function start(send) {
    const own = (running.current = new AbortController());
    setBusy(true);
    setAnswer({ text: "", note: "", bad: false });
    const began = performance.now();
    try {
      await send(own.signal, (text) => setAnswer({ text, note: "", bad: false }));
      setAnswer((old) => ({ ...old, note: duration((performance.now() - began) / 1000) }));
    } catch (error) {
      const note = own.signal.aborted ? "Stopped." : /** @type {Error} */ (error).message;
      setAnswer((old) => ({ text: old.text, note, bad: true }));
    }
    setBusy(false);
  }
  return { answer, busy, start, stop: () => running.current?.abort() };
}

/** @param {{ surface: Surface, model: string, prompt: string, mode: Mode, signal: AbortSignal, onText: (text: string) => void }} options */
async function ask({ surface, model, prompt, mode, signal, onText }) {
  const headers = /** @type {Record<string, string>} */ (mode === "job" ? { "x-bf-async": "true" } : {});
  const response = await request("POST", surface.path(model, mode), { body: surface.body(model, prompt, mode), signal, headers });
  if (mode === "job") return navigate(`/jobs/${response.headers.get("x-bf-async-id")}`);
  if (mode === "stream") return readDeltas(response, surface, onText);
  const result = await response.json();
  return onText(answerText(result) || pretty(result).slice(0, 20_000));
}

/** @param {Response} response @param {Surface} surface @param {(text: string) => void} onText */
async function readDeltas(response, surface, onText) {
  let [rest, text] = ["", ""];
  for await (const piece of textOf(response)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: {")) continue;
      const chunk = JSON.parse(line.slice(6));
      if (chunk.error) throw new Error(chunk.error.message);
      text += surface.delta?.(chunk) ?? "";
    }
    onText(text);
  }
}

/** @param {{ answer: { text: string, note: string, bad: boolean }, busy: boolean }} props */
const Answer = ({ answer, busy }) => html`<${Card} title="Answer" actions=${answer.note && !answer.bad ? html`<span class="muted num">${answer.note}</span>` : null}>
  ${answer.bad ? html`<div class="note bad" role="alert">${answer.note}</div>` : null}
  ${answer.text ? html`<pre tabindex="0" aria-live="polite">${answer.text}</pre>` : answer.bad ? null : html`<p class="muted">${busy ? "Waiting for the model." : "The answer appears here."}</p>`}</${Card}>`;

/** @param {{ surface: Surface, model: string, prompt: string, mode: Mode }} props */
function Code({ surface, model, prompt, mode }) {
  const [chosen, setChosen] = useState("python");
  const languages = /** @type {[string, string][]} */ ([["python", "Python"], ...(surface.js ? [["js", "JavaScript"]] : []), ["curl", "curl"]]);
  const language = languages.some(([name]) => name === chosen) ? chosen : "python";
  const text = codeFor(/** @type {any} */ (language), surface, model, prompt, mode);
  return html`<${Card} title="The same from code" actions=${html`<${Segmented} label="Language" options=${languages} value=${language} onChange=${setChosen} /><${Copy} text=${text} />`}><pre class="code" tabindex="0">${text}</pre></${Card}>`;
}
