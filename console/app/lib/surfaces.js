/** The API formats that "Try it" speaks: the request of each, the text of its answers, and the same call as code. */

/** @typedef {"now" | "stream" | "job"} Mode */
/**
 * @typedef {{
 *   title: string, modes: Mode[], prompt?: string,
 *   path: (model: string, mode: Mode) => string,
 *   body: (model: string, prompt: string, mode: Mode) => any,
 *   delta?: (chunk: any) => string,
 *   python: (call: Call) => string,
 *   js?: (call: Call) => string,
 * }} Surface
 * @typedef {{ base: string, model: string, prompt: string, mode: Mode }} Call model and prompt: as literals of both languages
 */

const ALL = /** @type {Mode[]} */ (["now", "stream", "job"]);
const NO_STREAM = /** @type {Mode[]} */ (["now", "job"]);
const JOB_PY = 'extra_headers={"x-bf-async": "true"}';
const streamed = (/** @type {Mode} */ mode) => (mode === "stream" ? { stream: true } : {});

/** @param {Call} call */
const openaiPython = ({ base }) => `import os\nfrom openai import OpenAI\n\nclient = OpenAI(base_url="${base}/openai", api_key=os.environ["FINOPS_KEY"])\n`;
/** @param {Call} call */
const openaiJs = ({ base }) => `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${base}/openai", apiKey: process.env.FINOPS_KEY });\n`;

/** @type {Record<string, Surface>} */
export const SURFACES = {
  chat: {
    title: "Chat completions",
    modes: ALL,
    path: () => "/openai/v1/chat/completions",
    body: (model, prompt, mode) => ({ model, messages: [{ role: "user", content: prompt }], ...streamed(mode) }),
    delta: (chunk) => chunk.choices?.[0]?.delta?.content ?? "",
    python: (call) => {
      const head = `${openaiPython(call)}request = {"model": ${call.model}, "messages": [{"role": "user", "content": ${call.prompt}}]}\n`;
      if (call.mode === "now") return `${head}print(client.chat.completions.create(**request).choices[0].message.content)`;
      if (call.mode === "stream") return `${head}for chunk in client.chat.completions.create(**request, stream=True):\n    print(chunk.choices[0].delta.content or "", end="", flush=True)`;
      return `${head}answer = client.chat.completions.create(**request, ${JOB_PY})\njob_id = answer.id\nwhile not answer.choices:  # each poll waits up to 20 s\n    answer = client.chat.completions.create(**request, extra_headers={"x-bf-async-id": job_id, "x-bf-async-wait": "20"})\nprint(answer.choices[0].message.content)`;
    },
    js: (call) => {
      const head = `${openaiJs(call)}const request = { model: ${call.model}, messages: [{ role: "user", content: ${call.prompt} }] };\n`;
      if (call.mode === "now") return `${head}console.log((await client.chat.completions.create(request)).choices[0].message.content);`;
      if (call.mode === "stream") return `${head}for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) process.stdout.write(chunk.choices[0]?.delta.content ?? "");`;
      return `${head}let answer = await client.chat.completions.create(request, { headers: { "x-bf-async": "true" } });\nconst { id } = answer;\nwhile (!answer.choices.length) // each poll waits up to 20 s\n  answer = await client.chat.completions.create(request, { headers: { "x-bf-async-id": id, "x-bf-async-wait": "20" } });\nconsole.log(answer.choices[0].message.content);`;
    },
  },
  responses: {
    title: "Responses",
    modes: ALL,
    path: () => "/openai/v1/responses",
    body: (model, prompt, mode) => ({ model, input: prompt, ...streamed(mode) }),
    delta: (chunk) => (chunk.type === "response.output_text.delta" ? chunk.delta : ""),
    python: (call) => {
      const head = `${openaiPython(call)}request = {"model": ${call.model}, "input": ${call.prompt}}\n`;
      if (call.mode === "stream") return `${head}for event in client.responses.create(**request, stream=True):\n    if event.type == "response.output_text.delta":\n        print(event.delta, end="", flush=True)`;
      return `${head}answer = client.responses.create(**request${call.mode === "job" ? `, ${JOB_PY}` : ""})\nprint(${call.mode === "job" ? "answer.id" : "answer.output_text"})`;
    },
    js: (call) => {
      const head = `${openaiJs(call)}const request = { model: ${call.model}, input: ${call.prompt} };\n`;
      if (call.mode === "stream") return `${head}for await (const event of await client.responses.create({ ...request, stream: true })) if (event.type === "response.output_text.delta") process.stdout.write(event.delta);`;
      return `${head}const answer = await client.responses.create(request${call.mode === "job" ? ', { headers: { "x-bf-async": "true" } }' : ""});\nconsole.log(${call.mode === "job" ? "answer.id" : "answer.output_text"});`;
    },
  },
  messages: {
    title: "Anthropic messages",
    modes: ALL,
    path: () => "/anthropic/v1/messages",
    body: (model, prompt, mode) => ({ model, max_tokens: 1024, messages: [{ role: "user", content: prompt }], ...streamed(mode) }),
    delta: (chunk) => chunk.delta?.text ?? "",
    python: (call) => {
      const head = `import os\nfrom anthropic import Anthropic\n\nclient = Anthropic(base_url="${call.base}/anthropic", api_key=os.environ["FINOPS_KEY"])\nrequest = {"model": ${call.model}, "max_tokens": 1024, "messages": [{"role": "user", "content": ${call.prompt}}]}\n`;
      if (call.mode === "stream") return `${head}with client.messages.stream(**request) as stream:\n    for text in stream.text_stream:\n        print(text, end="", flush=True)`;
      return `${head}answer = client.messages.create(**request${call.mode === "job" ? `, ${JOB_PY}` : ""})\nprint(${call.mode === "job" ? "answer.id" : "answer.content[0].text"})`;
    },
  },
  genai: {
    title: "Gemini generateContent",
    modes: ALL,
    path: (model, mode) => `/genai/v1beta/models/${encodeURI(model)}:${mode === "stream" ? "streamGenerateContent?alt=sse" : "generateContent"}`,
    body: (_, prompt) => ({ contents: [{ role: "user", parts: [{ text: prompt }] }] }),
    delta: (chunk) => (chunk.candidates?.[0]?.content?.parts ?? []).map((/** @type {any} */ part) => part.text ?? "").join(""),
    python: (call) => {
      const head = `import os\nfrom google import genai\nfrom google.genai.types import GenerateContentConfig, HttpOptions\n\nclient = genai.Client(api_key=os.environ["FINOPS_KEY"], http_options=HttpOptions(base_url="${call.base}/genai"))\nrequest = {"model": ${call.model}, "contents": ${call.prompt}}\n`;
      if (call.mode === "stream") return `${head}for chunk in client.models.generate_content_stream(**request):\n    print(chunk.text or "", end="", flush=True)`;
      if (call.mode === "now") return `${head}print(client.models.generate_content(**request).text)`;
      return `${head}headers = HttpOptions(headers={"x-bf-async": "true"})\nanswer = client.models.generate_content(**request, config=GenerateContentConfig(http_options=headers))\nprint(answer.response_id)`;
    },
  },
  embeddings: {
    title: "Embeddings",
    modes: NO_STREAM,
    path: () => "/openai/v1/embeddings",
    body: (model, prompt) => ({ model, input: prompt }),
    python: (call) => `${openaiPython(call)}answer = client.embeddings.create(model=${call.model}, input=${call.prompt}${call.mode === "job" ? `, ${JOB_PY}` : ""})\nprint(answer)`,
    js: (call) => `${openaiJs(call)}console.log(await client.embeddings.create({ model: ${call.model}, input: ${call.prompt} }${call.mode === "job" ? ', { headers: { "x-bf-async": "true" } }' : ""}));`,
  },
  images: {
    title: "Images",
    modes: NO_STREAM,
    path: () => "/openai/v1/images/generations",
    body: (model, prompt) => ({ model, prompt }),
    python: (call) => `${openaiPython(call)}answer = client.images.generate(model=${call.model}, prompt=${call.prompt}${call.mode === "job" ? `, ${JOB_PY}` : ""})\nprint(answer)`,
    js: (call) => `${openaiJs(call)}console.log(await client.images.generate({ model: ${call.model}, prompt: ${call.prompt} }${call.mode === "job" ? ', { headers: { "x-bf-async": "true" } }' : ""}));`,
  },
};

/** The same request as a program. @param {"python" | "js" | "curl"} language @param {Surface} surface @param {string} model @param {string} prompt @param {Mode} mode */
export function codeFor(language, surface, model, prompt, mode) {
  const base = location.origin;
  if (language !== "curl") {
    const program = (language === "js" && surface.js) || surface.python;
    return program({ base, model: JSON.stringify(model), prompt: JSON.stringify(prompt), mode });
  }
  const body = JSON.stringify(surface.body(model, prompt, mode)).replace(/'/g, "'\\''");
  const lines = [`curl '${base}${surface.path(model, mode)}'`, '-H "x-bf-vk: $FINOPS_KEY"', "-H 'content-type: application/json'"];
  return [...lines, ...(mode === "job" ? ["-H 'x-bf-async: true'"] : []), `-d '${body}'`].join(" \\\n  ");
}

/** The text of an answer in any of the formats. @param {any} result @returns {string} */
export function answerText(result) {
  if (!result || typeof result !== "object") return "";
  const chat = result.choices?.map((/** @type {any} */ choice) => choice.message?.content ?? choice.text ?? "").join("\n");
  if (chat) return chat;
  const items = (result.output ?? []).flatMap((/** @type {any} */ item) => item.content ?? []);
  const parts = (result.candidates ?? []).flatMap((/** @type {any} */ candidate) => candidate.content?.parts ?? []);
  return [...items, ...parts, ...(Array.isArray(result.content) ? result.content : [])].map((part) => part.text ?? "").join("\n");
}
