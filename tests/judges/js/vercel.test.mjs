// The Vercel AI SDK through its provider packages, against providers of three wires.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, isStepCount, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const gateway = process.env.JUDGED_GATEWAY;
const models = process.env.JUDGED_MODELS.split(" ");
const apiKey = "none-is-needed";
const openai = createOpenAI({ baseURL: `${gateway}/openai`, apiKey });
const google = createGoogleGenerativeAI({ baseURL: `${gateway}/genai/v1beta`, apiKey });
const clients = {
  chat: (name) => openai.chat(name),
  responses: (name) => openai.responses(name),
  compatible: createOpenAICompatible({
    name: "finops",
    baseURL: `${gateway}/openai`,
    apiKey,
    supportsStructuredOutputs: true,
    includeUsage: true,
  }),
  anthropic: createAnthropic({ baseURL: `${gateway}/anthropic/v1`, apiKey }),
  // A name with a slash is a whole path to this client.
  genai: (name) => google(`models/${name}`),
};
const stopAfter = stepCountIs ?? isStepCount;
const schema = z.object({ name: z.string(), inhabitants: z.number().int() });
const double = tool({
  description: "Double a number.",
  inputSchema: z.object({ number: z.number().int() }),
  execute: async ({ number }) => 2 * number,
});

for (const [client, modelOf] of Object.entries(clients)) {
  for (const name of models) {
    const of = `${client}, ${name}`;
    test(`a question is answered (${of})`, async () => {
      const answer = await generateText({ model: modelOf(name), prompt: "What is a budget?" });
      assert.ok(answer.text);
      assert.ok(answer.usage.outputTokens > 0);
    });

    test(`a stream brings the whole answer (${of})`, async () => {
      const stream = streamText({ model: modelOf(name), prompt: "What is a budget?", onError() {} });
      const pieces = [];
      for await (const piece of stream.textStream) pieces.push(piece);
      assert.ok(pieces.length > 1);
      assert.equal(pieces.join(""), await stream.text);
      assert.ok((await stream.usage).outputTokens > 0);
    });

    test(`a tool is called with what was named and its result read (${of})`, async () => {
      const answer = await generateText({
        model: modelOf(name),
        prompt: "What is double(21)?",
        tools: { double },
        stopWhen: stopAfter(3),
      });
      const results = answer.steps.flatMap((step) => step.toolResults.map((result) => result.output));
      assert.deepEqual(results, [42]);
      assert.ok(answer.text);
    });

    test(`an answer follows a schema (${of})`, async () => {
      const answer = await generateText({
        model: modelOf(name),
        prompt: "Tell of 'Bonn' with 300000 inhabitants.",
        output: Output.object({ schema }),
      });
      assert.deepEqual(answer.output, { name: "Bonn", inhabitants: 300000 });
    });
  }
}

test("texts are embedded", async () => {
  const model = openai.embedding("openai/text-embedding-3-small");
  const { embeddings } = await embedMany({ model, values: ["a", "b"] });
  assert.equal(embeddings.length, 2);
  assert.ok(embeddings[0].length > 100);
});
