-- Outcomes: what a job's end writes, in one script: record, lists, event, ledger entry, webhook. What several outcomes add
-- to the same sums is written once, by settle_outcomes().
local kept_bytes = {}  -- by caller and field of count_bytes, hours as numbers
local no_more = {}  -- keys that ended jobs have no more
local unheld = false  -- whether no job of this script has a reservation
local outcome_books, booked_ms  -- of their ledger entries, and when they were opened
local coded = {}  -- by set of error codes: creation and id of jobs
local trims_codes  -- whether these sets forget what the list of all jobs forgot

-- arq's own result entry, for its Job.status(), Job.info() and Job.result_info().
local function write_arq_result(job, created, stamp, outcome, status, ttl)
  redis.call('SET', arq_result_key(job.id), '{"t":' .. int(job.attempts) .. ',"f":"run_job","a":["' .. job.id
    .. '"],"k":{},"et":' .. created .. ',"s":' .. (outcome.state == 'completed' and 'true' or 'false')
    .. ',"r":{"state":"' .. outcome.state .. '","status_code":' .. status .. '},"st":'
    .. (job.started > 0 and int(job.started) or stamp) .. ',"ft":' .. stamp .. ',"q":"' .. QUEUE[job.priority]
    .. '","id":"' .. job.id .. '"}', 'PX', ttl)
end

-- Charges a run that its caller ended by a cancel or a deadline what was reserved for it: otherwise a caller could read
-- the events and cancel just before the end. Records of older versions know no most output: a token per event so far.
local function charge(entry, id, estimate)
  local emitted = num(estimate.output or redis.call('HGET', job_key(id), 'said'))
  local function with_output(amount, rate) return num(amount) + math.floor(emitted * num(rate) / 1000000 + 0.5) end
  entry.provider, entry.model, entry.estimated = estimate.provider, estimate.model, true
  entry.input, entry.output = num(estimate.input), emitted
  entry.priced = estimate.priced == true and (emitted == 0 or estimate.output_rate ~= nil)
  if not entry.priced then return end
  entry.cost = with_output(estimate.cost, estimate.output_rate)
  entry.list = with_output(estimate.list, estimate.output_list_rate)
end

-- The ledger entry of an outcome: the run's own one; for a job that ended without one (cancelled, late, given up) what
-- its record knows, priced only if the price is known or nothing can have been used.
local function entry_of(job, now, outcome)
  if outcome.ledger and outcome.ledger ~= '' then return outcome.ledger end
  local f = redis.call('HMGET', job_key(job.id), 'context', 'type', 'model', 'request_id')
  local context = f[1] and f[1] ~= '' and cjson.decode(f[1]) or {}
  if type(context.who) ~= 'table' then return '' end
  local entry = context.who
  entry.v, entry.at, entry.job, entry.type, entry.asked, entry.request_id = 1, now, job.id, f[2], f[3], f[4] or ''
  entry.status, entry.code = outcome.status, outcome.code or outcome.state
  entry.surface, entry.priced = context.surface, job.started == 0
  if outcome.state == 'failed' and type(context.lane) == 'table' and context.lane.due_ms then
    entry.lane, entry.late = 'now', 1
  end
  local ended_by_caller = outcome.state == 'cancelled' or outcome.status == 504
  if job.state == 'running' and ended_by_caller and type(context.estimate) == 'table' then
    charge(entry, job.id, context.estimate)
  end
  return cjson.encode(entry)
end

local function note_bytes(caller, field, bytes)
  local of_caller = kept_bytes[caller] or {}
  kept_bytes[caller] = of_caller
  of_caller[field] = (of_caller[field] or 0) + bytes
end

local function list_codes()
  local oldest = trims_codes and redis.call('ZRANGE', ALL, '0', '0', 'WITHSCORES')[2]
  for key, entries in pairs(coded) do
    redis.call('ZADD', key, unpack(entries))
    if oldest then redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. oldest) end
  end
  coded = {}
end

-- Ends a script with outcomes, in place of settle().
local function settle_outcomes()
  if next(coded) then list_codes() end
  if #no_more > 0 then
    redis.call('DEL', unpack(no_more))
    no_more = {}
  end
  for caller, fields in pairs(kept_bytes) do
    for field, bytes in pairs(fields) do count_bytes(caller, field == 'live' and field or int(field), bytes) end
  end
  kept_bytes = {}
  if outcome_books then
    close_books(outcome_books, booked_ms)
    outcome_books = nil
  end
  settle()
end

local function write_side_entries(job, now, outcome, ttl)
  if job.group ~= '' then
    redis.call('RPUSH', group_key(job.group), job.id)
    redis.call('PEXPIRE', group_key(job.group), LIVE_MS)
  end
  if job.webhook ~= '' then
    redis.call('XADD', OUTBOX, 'MAXLEN', '~', '100000', '*', 'job', job.id, 'webhook', job.webhook, 'state', outcome.state,
      'owner', job.owner)
  end
  local entry = entry_of(job, now, outcome)
  if entry ~= '' and not outcome_books then outcome_books, booked_ms = open_books(), now end
  settle_outcome(unheld and '' or job.id, 'settled', entry, now, outcome_books)
  if outcome.state == 'failed' and not unheld then keep_hold(job.id, ttl) end
  if outcome.dead then
    redis.call('ZADD', DEAD, int(now), job.id)
    redis.call('ZREMRANGEBYRANK', DEAD, '0', '-10001')
  end
end

-- Lists a job that has ended by its cost and its error code.
local function list_outcome(job, outcome, created)
  local cost = outcome.meta and string.match(outcome.meta, '"cost_micro_usd":(%d+)')
  if cost then
    priced[#priced + 1] = job.id
    price_of[#price_of + 1] = cost
  end
  local code = outcome.error and string.match(outcome.error, '"code":"([^"]*)"')
  if not code then return end
  local key = code_key(code)
  local list = coded[key] or {}
  coded[key] = list
  list[#list + 1] = created
  list[#list + 1] = job.id
  if job.seq % 16 == 0 then trims_codes = true end
end

-- Writes the outcome of a live job with everything that follows from it. outcome: state, status, error; of runs also
-- token, result, result_type, result_as, size (of the result's body), meta, ledger, dead, index, history (nil: the run tells nothing). The token stays in the record, so that a finish whose answer was lost on the way may be sent again.
local function conclude(job, now, outcome)
  local history
  if job.state == 'running' then
    leave_running(job)
    history = longer_history(job, outcome.history or ended_run(job, now, outcome.status, outcome.code))
  else
    leave_waiting(job)
    history = longer_history(job, outcome.history)
  end
  local id, key = job.id, job_key(job.id)
  local ttl = outcome.dead and math.max(job.ttl_ms, DEAD_MS) or job.ttl_ms
  local stamp, ttl_text, status, created = int(now), int(ttl), int(outcome.status), int(job.created)
  local fields = {'state', outcome.state, 'lease', outcome.token or '', 'completed_ms', stamp, 'expires_ms', int(now + ttl),
    'status_code', status}
  for _, field in ipairs({'result_type', 'result', 'result_as', 'error', 'meta'}) do
    local value = outcome[field]
    if value and value ~= '' then
      fields[#fields + 1] = field
      fields[#fields + 1] = value
    end
  end
  if history then
    fields[#fields + 1] = 'history'
    fields[#fields + 1] = history
  end
  if outcome.part then
    fields[#fields + 1] = 'result_size'
    fields[#fields + 1] = int(redis.call('STRLEN', outcome.part))
    redis.call('RENAME', outcome.part, result_key(id))
    redis.call('PEXPIRE', result_key(id), ttl_text)
  end
  local kept = outcome.size or 0
  if job.keep or outcome.state == 'failed' then
    kept = kept + job.size
  elseif job.payload_as then
    redis.call('HDEL', key, 'payload_as')
    drop_body(job.payload_as, now)
  end
  note_bytes(job.caller, 'live', -job.size)
  note_bytes(job.caller, math.floor((now + ttl) / HOUR_MS), kept)
  fields[#fields + 1] = 'stored'
  fields[#fields + 1] = int(kept)
  redis.call('HSET', key, unpack(fields))
  redis.call('PEXPIRE', key, ttl_text)
  list_ended(id, outcome.state, created)
  list_outcome(job, outcome, created)
  if outcome.index and outcome.index ~= '' then redis.call('ZADD', index_key(outcome.index), created, id) end
  no_more[#no_more + 1] = arq_progress_key(id)
  no_more[#no_more + 1] = arq_job_key(id)
  if job.keep or outcome.state == 'failed' then
    redis.call('PEXPIRE', payload_key(id), ttl_text)
  else
    no_more[#no_more + 1] = payload_key(id)
  end
  write_arq_result(job, created, stamp, outcome, status, ttl_text)
  write_side_entries(job, now, outcome, ttl)
  notify(id, outcome.state, 'job.' .. outcome.state, ',"status_code":' .. status)
  redis.call('PEXPIRE', events_key(id), ttl_text)
end

local function miss_deadline(job, now, error)
  conclude(job, now, {state = 'failed', status = 504, error = error, code = 'deadline_exceeded'})
end

local function overdue(job, now) return job.deadline > 0 and job.deadline <= now end
