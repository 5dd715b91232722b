/** Ask any model: now, as a stream, or as a job; with the same call as code. */
import { html, useRef, useState } from "../lib/html.js";
import { call, request } from "../lib/api.js";
import { duration } from "../lib/format.js";
import { usePoll } from "../lib/poll.js";
import { navigate } from "../lib/router.js";
import { Card, Copy, PageHead, Segmented } from "../ui/parts.js";
import { answerText } from "./job.js";

const MODES = /** @type {[string, string][]} */ ([["now", "Now"], ["stream", "Stream"], ["job", "As a job"]]);

export default function TryIt() {
  const models = usePoll((signal) => call("models", { signal }), [], 0);
  const [model, setModel] = useState("");
  const [prompt, setPrompt] = useState("Write a haiku about queues.");
  const [mode, setMode] = useState("now");
  const [answer, setAnswer] = useState({ text: "", note: "", bad: false });
  const [busy, setBusy] = useState(false);
  const stop = useRef(/** @type {AbortController | null} */ (null));
  const names = (models.data?.data ?? []).map((/** @type {any} */ one) => one.id);
  const chosen = model || names[0] || "";
  async function send(/** @type {Event} */ event) {
    event.preventDefault();
    stop.current = new AbortController();
    setBusy(true);
    setAnswer({ text: "", note: "", bad: false });
    const began = performance.now();
    try {
      await ask({ model: chosen, prompt, mode, signal: stop.current.signal, onText: (text) => setAnswer({ text, note: "", bad: false }) });
      setAnswer((old) => ({ ...old, note: duration((performance.now() - began) / 1000) }));
    } catch (error) {
      const text = stop.current.signal.aborted ? "Stopped." : /** @type {Error} */ (error).message;
      setAnswer((old) => ({ text: old.text, note: text, bad: true }));
    }
    setBusy(false);
  }
  return html`<${PageHead} title="Try it" /><div class="grid halves"><div class="stack">
      <${Card} title="Request"><form class="form" onSubmit=${send}>
        <label class="field">Model<input list="models" required value=${chosen} onInput=${(/** @type {any} */ event) => setModel(event.target.value)} /><datalist id="models">${names.slice(0, 200).map((/** @type {string} */ name) => html`<option value=${name} />`)}</datalist></label>
        <label class="field">Prompt<textarea required value=${prompt} onInput=${(/** @type {any} */ event) => setPrompt(event.target.value)}></textarea></label>
        <div class="row"><${SegmentedField} value=${mode} onChange=${setMode} /><span style=${{ flex: 1 }}></span>
          ${busy ? html`<button type="button" onClick=${() => stop.current?.abort()}>Stop</button>` : null}<button class="primary" disabled=${busy || !chosen}>Send</button></div></form></${Card}></div>
    <div class="stack"><${Card} title="Answer" actions=${answer.note && !answer.bad ? html`<span class="muted num">${answer.note}</span>` : null}>
        ${answer.bad ? html`<div class="note bad" role="alert">${answer.note}</div>` : null}
        ${answer.text ? html`<pre tabindex="0" aria-live="polite">${answer.text}</pre>` : answer.bad ? null : html`<p class="muted">${busy ? "Waiting for the model." : "The answer appears here."}</p>`}</${Card}>
      <${Code} model=${chosen} prompt=${prompt} mode=${mode} /></div></div>`;
}

/** Buttons inside a form must not submit it. @param {{ value: string, onChange: (value: string) => void }} props */
const SegmentedField = ({ value, onChange }) => html`<div onClick=${(/** @type {Event} */ event) => event.preventDefault()}><${Segmented} label="How to run it" options=${MODES} value=${value} onChange=${onChange} /></div>`;

/** @param {{ model: string, prompt: string, mode: string, signal: AbortSignal, onText: (text: string) => void }} options */
async function ask({ model, prompt, mode, signal, onText }) {
  const body = { model, messages: [{ role: "user", content: prompt }], ...(mode === "stream" ? { stream: true } : {}) };
  const headers = /** @type {Record<string, string>} */ (mode === "job" ? { "x-bf-async": "true" } : {});
  const response = await request("POST", "/openai/v1/chat/completions", { body, signal, headers });
  if (mode === "job") return navigate(`/jobs/${response.headers.get("x-bf-async-id")}`);
  if (mode === "now") return onText(answerText(await response.json()) || "The model answered without text.");
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).pipeThrough(new TextDecoderStream()).getReader();
  let [rest, text] = ["", ""];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return undefined;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: {")) continue;
      const chunk = JSON.parse(line.slice(6));
      if (chunk.error) throw new Error(chunk.error.message);
      text += chunk.choices?.[0]?.delta?.content ?? "";
    }
    onText(text);
  }
}

/** @param {{ model: string, prompt: string, mode: string }} props */
function Code({ model, prompt, mode }) {
  const [language, setLanguage] = useState("python");
  const text = codeFor(language, model, prompt, mode);
  return html`<${Card} title="The same from code" actions=${html`<${Segmented} label="Language" options=${[["python", "Python"], ["js", "JavaScript"], ["curl", "curl"]]} value=${language} onChange=${setLanguage} /><${Copy} text=${text} />`}><pre tabindex="0">${text}</pre></${Card}>`;
}

/** @param {string} language @param {string} model @param {string} prompt @param {string} mode */
function codeFor(language, model, prompt, mode) {
  const base = `${location.origin}/openai`;
  const message = JSON.stringify(prompt);
  const name = JSON.stringify(model);
  if (language === "curl") {
    const body = JSON.stringify({ model, messages: [{ role: "user", content: prompt }], ...(mode === "stream" ? { stream: true } : {}) });
    return `curl ${base}/v1/chat/completions -H "Authorization: Bearer $FINOPS_KEY" -H "content-type: application/json"${mode === "job" ? ' -H "x-bf-async: true"' : ""} -d ${JSON.stringify(body).replace(/\$/g, "\\$")}`;
  }
  if (language === "python") {
    const head = `import os, time\nfrom openai import OpenAI\n\nclient = OpenAI(base_url="${base}", api_key=os.environ["FINOPS_KEY"])\nask = {"model": ${name}, "messages": [{"role": "user", "content": ${message}}]}\n`;
    if (mode === "now") return `${head}print(client.chat.completions.create(**ask).choices[0].message.content)`;
    if (mode === "stream") return `${head}for chunk in client.chat.completions.create(**ask, stream=True):\n    print(chunk.choices[0].delta.content or "", end="", flush=True)`;
    return `${head}job = client.chat.completions.create(**ask, extra_headers={"x-bf-async": "true"})\nwhile not (answer := client.chat.completions.create(**ask, extra_headers={"x-bf-async-id": job.id})).choices:\n    time.sleep(2)\nprint(answer.choices[0].message.content)`;
  }
  const head = `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${base}", apiKey: process.env.FINOPS_KEY });\nconst ask = { model: ${name}, messages: [{ role: "user", content: ${message} }] };\n`;
  if (mode === "now") return `${head}console.log((await client.chat.completions.create(ask)).choices[0].message.content);`;
  if (mode === "stream") return `${head}for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) process.stdout.write(chunk.choices[0]?.delta.content ?? "");`;
  return `${head}let answer = await client.chat.completions.create(ask, { headers: { "x-bf-async": "true" } });\nconst { id } = answer;\nwhile (!answer.choices.length) {\n  await new Promise((resolve) => setTimeout(resolve, 2000));\n  answer = await client.chat.completions.create(ask, { headers: { "x-bf-async-id": id } });\n}\nconsole.log(answer.choices[0].message.content);`;
}
