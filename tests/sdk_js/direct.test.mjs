// Synchronous calls: only base_url differs from a program that speaks to OpenAI.
import assert from "node:assert/strict";
import { test } from "node:test";
import { toFile } from "openai";
import { makeClient, QUESTION } from "./gateway.mjs";

const client = makeClient();

test("chat answers", async () => {
  const answer = await client.chat.completions.create({ model: "sim/gpt-4o", messages: QUESTION });
  assert.equal(answer.object, "chat.completion");
  assert.ok(answer.choices[0].message.content.length > 0);
  assert.ok(answer.usage.total_tokens > 0);
});

test("chat streams chunk by chunk what it answers in one piece", async () => {
  const request = { model: "sim/gpt-4o", messages: QUESTION };
  const whole = await client.chat.completions.create(request);
  let text = "";
  let chunks = 0;
  for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    chunks += 1;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.ok(chunks > 3);
});

test("responses answer", async () => {
  const answer = await client.responses.create({ model: "sim/gpt-4o", input: "How much did we spend?" });
  assert.equal(answer.status, "completed");
  assert.ok(answer.output_text.length > 0);
});

test("responses stream to their completed event", async () => {
  const stream = await client.responses.create({ model: "sim/gpt-4o", input: "How much?", stream: true });
  const types = [];
  let text = "";
  let completed;
  for await (const event of stream) {
    types.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.completed") completed = event.response;
  }
  assert.equal(types[0], "response.created");
  assert.equal(types.at(-1), "response.completed");
  assert.equal(completed.output[0].content[0].text, text);
});

test("embeddings answer vectors", async () => {
  const answer = await client.embeddings.create({ model: "sim/text-embedding-3-small", input: ["a", "b"] });
  assert.equal(answer.data.length, 2);
  assert.ok(answer.data[0].embedding.length > 10);
  assert.notDeepEqual(answer.data[0].embedding, answer.data[1].embedding);
});

test("images answer", async () => {
  const answer = await client.images.generate({ model: "sim/gpt-image-1", prompt: "a ledger" });
  assert.ok(answer.data[0].b64_json ?? answer.data[0].url);
});

test("speech answers bytes", async () => {
  const answer = await client.audio.speech.create({
    model: "sim/tts-1",
    input: "Hello",
    voice: "alloy",
    response_format: "wav",
  });
  assert.match(answer.headers.get("content-type"), /^audio\/wav/);
  assert.equal(Buffer.from(await answer.arrayBuffer()).subarray(0, 4).toString(), "RIFF");
});

test("transcription takes a file", async () => {
  const file = await toFile(Buffer.from("RIFF not really a sound"), "talk.wav", { type: "audio/wav" });
  const answer = await client.audio.transcriptions.create({ model: "sim/whisper-1", file });
  assert.ok(answer.text.length > 0);
});

test("models are listed with their provider", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes("sim/gpt-4o") && ids.includes("openai/gpt-4o"), ids.join(", "));
  assert.ok(ids.every((id) => id.includes("/")), ids.join(", "));
});

test("an error is the SDK's own exception, with our request id", async () => {
  await assert.rejects(client.chat.completions.create({ model: "nobody/gpt", messages: QUESTION }), (error) => {
    assert.equal(error.constructor.name, "BadRequestError");
    assert.equal(error.code, "unknown_provider");
    assert.match(error.requestID, /^req_/);
    return true;
  });
});
