// Five providers by prefix from one client: answered at once, as an async chat and as an async response.
import assert from "node:assert/strict";
import { asJob, makeClient, QUESTION } from "./gateway.mjs";

const client = makeClient();
const headers = { "x-bf-dim-app": "founding", "x-request-id": "founding-1" };

for (const model of process.argv.slice(2)) {
  const request = { model, messages: QUESTION };
  const { data, response } = await client.chat.completions.create(request, { headers }).withResponse();
  assert.equal(response.headers.get("x-request-id"), "founding-1");
  assert.ok(data.choices[0].message.content);
  const chat = await asJob((options) => client.chat.completions.create(request, options));
  assert.ok(chat.answer.choices[0].message.content);
  const responses = await asJob((options) => client.responses.create({ model, input: "How much?" }, options));
  assert.equal(responses.answer.status, "completed");
  assert.ok(responses.answer.output_text);
  console.log(model);
}
