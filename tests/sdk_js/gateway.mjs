// What every test shares: a client of the gateway, and the documented polling loop.
import OpenAI from "openai";

const origin = process.env.GATEWAY_URL;
if (!origin) throw new Error("GATEWAY_URL says where the gateway is; pytest tests/sdk_js sets it");

export const QUESTION = [{ role: "user", content: "How much did we spend?" }];
const OPEN = new Set(["queued", "in_progress"]);

/** A client that counts its requests. */
export function makeClient() {
  const client = new OpenAI({
    baseURL: `${origin}/openai`,
    apiKey: "none-is-needed",
    fetch: (...request) => {
      client.requests += 1;
      return fetch(...request);
    },
  });
  client.requests = 0;
  return client;
}

/** Submit by the SDK's own method, poll by the same method, until the answer is there. */
export async function asJob(call) {
  const initial = await call({ headers: { "x-bf-async": "true" } });
  const id = initial.id;
  let poll = initial;
  while (OPEN.has(poll.status)) {
    poll = await call({ headers: { "x-bf-async-id": id, "x-bf-async-wait": "20" } });
  }
  return { initial, answer: poll };
}
