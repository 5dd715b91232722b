// The newest OpenAI SDK for JavaScript (tests/sdk_js has the one of Node.js 20), against providers of three wires.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: `${process.env.JUDGED_GATEWAY}/openai`, apiKey: "none-is-needed", maxRetries: 0 });
const City = z.object({ name: z.string(), inhabitants: z.number().int() });
const QUESTION = "Tell of 'Bonn' with 300000 inhabitants.";
const messages = [{ role: "user", content: QUESTION }];
const parameters = { type: "object", properties: { number: { type: "integer" } }, required: ["number"] };
const OPEN = new Set(["queued", "in_progress"]);

for (const model of process.env.JUDGED_MODELS.split(" ")) {
  test(`a chat is answered, whole and streamed (${model})`, async () => {
    const whole = await client.chat.completions.create({ model, messages });
    const stream = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
    const summed = await stream.finalChatCompletion();
    assert.equal(summed.choices[0].message.content, whole.choices[0].message.content);
    assert.equal(summed.usage.completion_tokens, whole.usage.completion_tokens);
  });

  test(`a chat follows a schema (${model})`, async () => {
    const answer = await client.chat.completions.parse({
      model,
      messages,
      response_format: zodResponseFormat(City, "city"),
    });
    assert.deepEqual(answer.choices[0].message.parsed, { name: "Bonn", inhabitants: 300000 });
  });

  test(`tools are run until there is an answer (${model})`, async () => {
    const seen = [];
    const double = {
      type: "function",
      function: {
        name: "double",
        description: "Double a number.",
        parameters,
        parse: JSON.parse,
        function: ({ number }) => (seen.push(number), 2 * number),
      },
    };
    const runner = client.chat.completions.runTools({
      model,
      messages: [{ role: "user", content: "What is double(21)?" }],
      tools: [double],
    });
    assert.ok(await runner.finalContent());
    assert.deepEqual(seen, [21]);
  });

  test(`a response is answered, whole and streamed, and goes on (${model})`, async () => {
    const whole = await client.responses.create({ model, input: QUESTION });
    const summed = await client.responses.stream({ model, input: QUESTION }).finalResponse();
    assert.ok(whole.output_text);
    assert.equal(summed.output_text, whole.output_text);
    const more = await client.responses.create({ model, input: "More.", previous_response_id: whole.id });
    assert.ok(more.output_text);
    assert.equal((await client.responses.retrieve(more.id)).output_text, more.output_text);
  });

  test(`a response follows a schema (${model})`, async () => {
    const format = zodTextFormat(City, "city");
    const answer = await client.responses.parse({ model, input: QUESTION, text: { format } });
    assert.deepEqual(answer.output_parsed, { name: "Bonn", inhabitants: 300000 });
  });

  test(`a background response and a job are worked off (${model})`, async () => {
    let response = await client.responses.create({ model, input: QUESTION, background: true });
    while (OPEN.has(response.status)) response = await client.responses.retrieve(response.id);
    assert.equal(response.status, "completed");
    const submitted = await client.chat.completions.create({ model, messages }, { headers: { "x-bf-async": "true" } });
    let job = submitted;
    while (OPEN.has(job.status)) {
      const headers = { "x-bf-async-id": submitted.id, "x-bf-async-wait": "20" };
      job = await client.chat.completions.create({ model, messages }, { headers });
    }
    assert.ok(job.choices[0].message.content);
  });

  test(`errors are the SDK's own (${model})`, async () => {
    const wrong = client.chat.completions.create({ model: "nobody/x", messages });
    await assert.rejects(wrong, (error) => error instanceof OpenAI.BadRequestError && Boolean(error.type));
  });
}
