/** The gateway's HTTP API as the console uses it. A test holds ENDPOINTS against /openapi.json. */

/** Every operation the console calls: name -> [method, path template]. */
export const ENDPOINTS = /** @type {const} */ ({
  overview: ["GET", "/api/overview"],
  queue: ["GET", "/api/queue"],
  jobs: ["GET", "/api/jobs"],
  deadJobs: ["GET", "/api/jobs/dead"],
  job: ["GET", "/api/jobs/{job_id}"],
  cancelJob: ["POST", "/api/jobs/{job_id}/cancel"],
  retryJob: ["POST", "/api/jobs/{job_id}/retry"],
  ownJobs: ["GET", "/v1/async/jobs"],
  ownJob: ["GET", "/v1/async/jobs/{job_id}"],
  cancelOwnJob: ["POST", "/v1/async/jobs/{job_id}/cancel"],
  retryOwnJob: ["POST", "/v1/async/jobs/{job_id}/retry"],
  jobEvents: ["GET", "/v1/async/jobs/{job_id}/events"],
  bulk: ["POST", "/v1/async/jobs/bulk"],
  operation: ["GET", "/v1/async/operations/{operation_id}"],
  cancelOperation: ["POST", "/v1/async/operations/{operation_id}/cancel"],
  schedules: ["GET", "/v1/async/schedules"],
  createSchedule: ["POST", "/v1/async/schedules"],
  pauseSchedule: ["POST", "/v1/async/schedules/{schedule_id}/pause"],
  resumeSchedule: ["POST", "/v1/async/schedules/{schedule_id}/resume"],
  deleteSchedule: ["DELETE", "/v1/async/schedules/{schedule_id}"],
  pauses: ["GET", "/api/queue/pauses"],
  pause: ["PUT", "/api/queue/pauses/{scope}"],
  resume: ["DELETE", "/api/queue/pauses/{scope}"],
  keys: ["GET", "/api/keys"],
  createKey: ["POST", "/api/keys"],
  rotateKey: ["POST", "/api/keys/{key_id}/rotate"],
  revokeKey: ["POST", "/api/keys/{key_id}/revoke"],
  limits: ["GET", "/api/limits"],
  ownLimits: ["GET", "/v1/limits"],
  usage: ["GET", "/api/usage"],
  ownUsage: ["GET", "/v1/usage"],
  forecast: ["GET", "/api/usage/forecast"],
  lanes: ["GET", "/api/lanes"],
  calls: ["GET", "/api/logs"],
  prices: ["GET", "/api/prices"],
  alerts: ["GET", "/api/alerts"],
  alertRules: ["GET", "/api/alerts/rules"],
  muteAlert: ["POST", "/api/alerts/{name}/mute"],
  unmuteAlert: ["POST", "/api/alerts/{name}/unmute"],
  audit: ["GET", "/api/audit"],
  webhookSecret: ["GET", "/api/webhooks/secret"],
  deliveries: ["GET", "/api/webhooks/deliveries"],
  redeliver: ["POST", "/api/webhooks/deliveries/{delivery_id}/redeliver"],
  jobDeliveries: ["GET", "/v1/async/jobs/{job_id}/deliveries"],
  cache: ["GET", "/api/cache"],
  cacheShadow: ["GET", "/api/cache/shadow"],
  purgeCache: ["POST", "/api/cache/purge"],
  runs: ["GET", "/api/runs"],
  batches: ["GET", "/api/batches"],
  ownBatches: ["GET", "/v1/batches"],
  cancelBatch: ["POST", "/v1/batches/{batch_id}/cancel"],
  models: ["GET", "/v1/models"],
  readiness: ["GET", "/health/ready"],
  system: ["GET", "/api/system"],
  doctor: ["GET", "/api/doctor"],
});

export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {string} code */
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Called when a request is refused because the session has ended. @type {{ run: () => void }} */
export const onSignedOut = { run: () => {} };

/**
 * @param {string} method
 * @param {string} path
 * @param {{ query?: Record<string, string | string[] | number | null | undefined>, body?: unknown, signal?: AbortSignal, headers?: Record<string, string> }} [options]
 */
export async function request(method, path, { query, body, signal, headers } = {}) {
  let response;
  try {
    response = await fetch(path + queryText(query), {
      method,
      signal,
      credentials: "same-origin",
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The gateway does not answer.", "unreachable");
  }
  if (!response.ok) throw await readError(response);
  return response;
}

/**
 * @param {keyof typeof ENDPOINTS} name
 * @param {{ path?: Record<string, string>, query?: Record<string, string | string[] | number | null | undefined>, body?: unknown, signal?: AbortSignal }} [options]
 * @returns {Promise<any>}
 */
export async function call(name, { path = {}, ...options } = {}) {
  const [method, template] = ENDPOINTS[name];
  const address = template.replace(/\{(\w+)\}/g, (_, field) => encodeURIComponent(path[field] ?? ""));
  const response = await request(method, address, options);
  return response.status === 204 ? null : response.json();
}

/** @param {Response} response */
async function readError(response) {
  let message = `The gateway answered ${response.status}.`;
  let code = "";
  try {
    const { error } = await response.json();
    message = error.message || message;
    code = error.code || error.type || "";
  } catch {
    // Not one of our envelopes: the status has to do.
  }
  if (response.status === 401) onSignedOut.run();
  return new ApiError(response.status, message, code);
}

/** @param {Record<string, string | string[] | number | null | undefined>} [query] */
function queryText(query) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && item !== undefined && item !== "") pairs.append(name, String(item));
    }
  }
  const text = pairs.toString();
  return text ? `?${text}` : "";
}

/**
 * Events of a job as they come; EventSource cannot be told where to resume by header, so the stream is read here.
 * @param {string} jobId @param {(event: { id: string, event: string, data: any }) => void} receive @param {AbortSignal} signal
 */
export async function followJob(jobId, receive, signal) {
  const path = ENDPOINTS.jobEvents[1].replace("{job_id}", encodeURIComponent(jobId));
  const response = await request("GET", path, { signal, headers: { accept: "text/event-stream" } });
  let text = "";
  for await (const piece of textOf(response)) {
    text += piece;
    const blocks = text.split(/\r?\n\r?\n/);
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) receive(event);
    }
  }
}

/** The text of a body as it arrives. @param {Response} response */
export async function* textOf(response) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield decoder.decode(value, { stream: true });
  }
}

/** @param {string} block */
function parseEvent(block) {
  const fields = { id: "", event: "message", data: "" };
  for (const line of block.split(/\r?\n/)) {
    const at = line.indexOf(":");
    if (at <= 0) continue;
    const name = line.slice(0, at);
    const value = line.slice(at + 1).replace(/^ /, "");
    if (name === "data") fields.data += value;
    else if (name === "id" || name === "event") fields[name] = value;
  }
  if (!fields.data) return null;
  try {
    return { ...fields, data: JSON.parse(fields.data) };
  } catch {
    return { ...fields, data: fields.data };
  }
}
