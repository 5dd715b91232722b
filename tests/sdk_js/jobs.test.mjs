// The same calls as background jobs: one header submits, one header polls, the method stays.
import assert from "node:assert/strict";
import { test } from "node:test";
import { toFile } from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { asJob, makeClient, QUESTION } from "./gateway.mjs";

const client = makeClient();
const SLOW = "sim/gpt-4o@latency=0.3";

test("chat: no choices at first, then the answer", async () => {
  const request = { model: SLOW, messages: QUESTION };
  const { initial, answer } = await asJob((options) => client.chat.completions.create(request, options));
  assert.equal(initial.choices.length, 0);
  assert.equal(initial.status, "queued");
  assert.match(initial.id, /^[0-9a-f-]{36}$/);
  const direct = await client.chat.completions.create(request);
  assert.equal(answer.choices[0].message.content, direct.choices[0].message.content);
});

test("a poll needs no body and shows the job in its headers", async () => {
  const request = { model: "sim/gpt-4o@latency=5", messages: QUESTION };
  const initial = await client.chat.completions.create(request, { headers: { "x-bf-async": "true" } });
  const { data, response } = await client.chat.completions
    .create({}, { headers: { "x-bf-async-id": initial.id } })
    .withResponse();
  assert.equal(data.id, initial.id);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("x-bf-async-id"), initial.id);
  assert.match(response.headers.get("x-bf-async-status"), /^(queued|in_progress)$/);
  assert.ok(Number(response.headers.get("retry-after")) > 0);
});

test("chat: a pending body can be parsed, and the answer too", async () => {
  const Report = z.object({ total: z.number(), currency: z.string() });
  const request = { model: SLOW, messages: QUESTION, response_format: zodResponseFormat(Report, "report") };
  const { initial, answer } = await asJob((options) => client.chat.completions.parse(request, options));
  assert.equal(initial.choices.length, 0);
  assert.equal(typeof answer.choices[0].message.parsed.currency, "string");
});

test("responses: queued, then completed with its text", async () => {
  const request = { model: SLOW, input: "How much did we spend?" };
  const { initial, answer } = await asJob((options) => client.responses.create(request, options));
  assert.equal(initial.status, "queued");
  assert.equal(initial.output_text, "");
  assert.equal(answer.status, "completed");
  assert.ok(answer.output_text.length > 0);
});

test("responses: a pending body can be parsed, and the answer too", async () => {
  const Report = z.object({ total: z.number() });
  const request = { model: SLOW, input: "How much?", text: { format: zodTextFormat(Report, "report") } };
  const { initial, answer } = await asJob((options) => client.responses.parse(request, options));
  assert.equal(initial.output_parsed, null);
  assert.equal(typeof answer.output_parsed.total, "number");
});

test("embeddings", async () => {
  const request = { model: "sim/text-embedding-3-small@latency=0.3", input: "a" };
  const { initial, answer } = await asJob((options) => client.embeddings.create(request, options));
  assert.ok(initial.id);
  assert.ok(answer.data[0].embedding.length > 10);
});

test("images", async () => {
  const request = { model: "sim/gpt-image-1@latency=0.3", prompt: "a ledger" };
  const { initial, answer } = await asJob((options) => client.images.generate(request, options));
  assert.equal(initial.data.length, 0);
  assert.ok(answer.data[0].b64_json ?? answer.data[0].url);
});

test("speech: JSON while it is open, then the bytes", async () => {
  const request = { model: "sim/tts-1@latency=0.3", input: "Hello", voice: "alloy", response_format: "wav" };
  const initial = await client.audio.speech.create(request, { headers: { "x-bf-async": "true" } });
  const { id, status } = await initial.json();
  assert.equal(initial.headers.get("x-bf-async-id"), id);
  assert.equal(status, "queued");
  let poll = initial;
  while (poll.headers.get("x-bf-async-status") !== "completed") {
    poll = await client.audio.speech.create(request, { headers: { "x-bf-async-id": id, "x-bf-async-wait": "20" } });
  }
  assert.match(poll.headers.get("content-type"), /^audio\/wav/);
  assert.equal(Buffer.from(await poll.arrayBuffer()).subarray(0, 4).toString(), "RIFF");
});

test("transcription: the file goes along once, with the submit", async () => {
  const call = async (options) => {
    const file = await toFile(Buffer.from("RIFF not really a sound"), "talk.wav", { type: "audio/wav" });
    return client.audio.transcriptions.create({ model: "sim/whisper-1@latency=0.3", file }, options);
  };
  const { initial, answer } = await asJob(call);
  assert.ok(initial.id);
  assert.ok(answer.text.length > 0);
});

for (const [status, exception] of [
  [400, "BadRequestError"],
  [401, "AuthenticationError"],
  [503, "InternalServerError"],
]) {
  test(`a job that fails with ${status} ends the loop with ${exception}, in one request`, async () => {
    const poller = makeClient();
    const request = { model: `sim/gpt-4o@status=${status}`, messages: QUESTION };
    const initial = await poller.chat.completions.create(request, { headers: { "x-bf-async": "true" } });
    const options = { headers: { "x-bf-async-id": initial.id, "x-bf-async-wait": "30" } };
    poller.requests = 0;
    await assert.rejects(poller.chat.completions.create(request, options), (error) => {
      assert.equal(error.constructor.name, exception);
      assert.equal(error.status, status);
      return true;
    });
    assert.equal(poller.requests, 1);
  });
}

test("an unknown job is a NotFoundError, in one request", async () => {
  const poller = makeClient();
  const options = { headers: { "x-bf-async-id": "5f0c1f5e-6c3e-4d3f-9d1e-000000000000" } };
  await assert.rejects(poller.chat.completions.create({ model: SLOW, messages: QUESTION }, options), (error) => {
    assert.equal(error.constructor.name, "NotFoundError");
    assert.equal(error.code, "job_not_found");
    return true;
  });
  assert.equal(poller.requests, 1);
});

test("a cancelled job is a ConflictError", async () => {
  const request = { model: "sim/gpt-4o@latency=30", messages: QUESTION };
  const initial = await client.chat.completions.create(request, { headers: { "x-bf-async": "true" } });
  const cancelled = await fetch(`${process.env.GATEWAY_URL}/v1/async/jobs/${initial.id}/cancel`, { method: "POST" });
  assert.equal((await cancelled.json()).status, "cancelled");
  await assert.rejects(
    client.chat.completions.create(request, { headers: { "x-bf-async-id": initial.id } }),
    (error) => error.constructor.name === "ConflictError" && error.code === "job_cancelled",
  );
});
