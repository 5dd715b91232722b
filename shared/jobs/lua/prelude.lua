-- Shared by all scripts of the job engine. Key names repeat shared/jobs/keys.py; a test compares the two.
local call = redis.call
local PRIORITIES = {'high', 'normal', 'low'}
local QUEUE = {high = 'arq:queue:high', normal = 'arq:queue', low = 'arq:queue:low'}
local CLOCK = 'finops:jobs:clock'
local LEASES = 'finops:jobs:leases'
local DEFERRED = 'finops:jobs:deferred'
local DEADLINES = 'finops:jobs:deadlines'
local WAITING = 'finops:jobs:waiting'
local DEAD = 'finops:jobs:dead'
local ALL = 'finops:jobs:all'
local LIVE = 'finops:jobs:live'
local OUTBOX = 'finops:webhooks:outbox'
local CANCEL = 'finops:cancel'
local LIVE_MS = 2592000000      -- safety expiry of a live job's keys: 30 days
local DEAD_MS = 604800000       -- dead-lettered records: 7 days
local IDLE_MS = 86400000        -- a caller without jobs is forgotten after a day
local MIRROR_MS = 60000         -- arq's in-progress key outlives the lease, so that a late reclaim is not "not found"
local SWEEP = 100               -- due jobs, dead leases and deadlines looked after per call

local function job_key(id) return 'finops:job:' .. id end
local function payload_key(id) return 'finops:job:' .. id .. ':payload' end
local function part_key(id, token) return 'finops:job:' .. id .. ':part:' .. string.gsub(token, ':', '.') end
local function result_key(id) return 'finops:job:' .. id .. ':result' end
local function events_key(id) return 'finops:job:' .. id .. ':events' end
local function signal_key(id) return 'finops:job:' .. id .. ':signal' end
local function caller_key(name) return 'finops:caller:' .. name end
local function ready_key(priority, name) return 'finops:lane:' .. priority .. ':ready:' .. name end
local function callers_key(priority) return 'finops:lane:' .. priority .. ':callers' end
local function wake_key(priority) return 'finops:wake:' .. priority end
local function owner_key(owner) return 'finops:owner:' .. owner .. ':jobs' end
local function group_key(group) return 'finops:group:' .. group .. ':ended' end
local function ended_key(state) return 'finops:jobs:' .. state end
local function index_key(number) return 'finops:jobs:index:' .. number end
local function arq_job_key(id) return 'arq:job:' .. id end
local function arq_progress_key(id) return 'arq:in-progress:' .. id end
local function arq_result_key(id) return 'arq:result:' .. id end

local function int(n) return string.format('%d', math.floor(n)) end  -- half of what '%.0f' takes
local function exact(n) return string.format('%.17g', n) end
local function num(v) return tonumber(v or 0) or 0 end

local function now_ms()
  local t = call('TIME')
  return num(t[1]) * 1000 + math.floor(num(t[2]) / 1000)
end

--!include meters.lua
--!include books.lua

-- One line of the event log. A list, not a stream: a stream takes 4 KiB for its first entry, and an entry's id is simply
-- how many were before it, `events_base` of them trimmed off.
local function log_event(id, name, data)
  return call('RPUSH', events_key(id), name .. '\n' .. data)
end

local function log_change(id, state, data)
  log_event(id, data.name, '{"id":"' .. id .. '","status":"' .. state .. '"' .. (data.more or '') .. '}')
end

-- A change of state: its event, and a message on the job's channel.
local function notify(id, state, data)
  log_change(id, state, data)
  call('PUBLISH', signal_key(id), state)
end

local FIELDS = {'state', 'lease', 'owner', 'priority', 'ttl_s', 'webhook', 'created_ms', 'started_ms', 'attempts',
  'deadline_ms', 'keep', 'seq', 'group', 'history', 'runs_before'}

-- The part of a record that decides what may happen to the job; nil when there is none.
local function read_job(id)
  local f = call('HMGET', job_key(id), unpack(FIELDS))
  if not f[1] then return nil end
  local owner = f[3] or ''
  return {
    id = id, state = f[1], lease = f[2] or '', owner = owner, caller = owner == '' and '-' or owner,
    priority = f[4] or 'normal', ttl_ms = num(f[5] or 3600) * 1000, webhook = f[6] or '', created = num(f[7]),
    started = num(f[8]), attempts = num(f[9]), deadline = num(f[10]), keep = f[11] == '1', seq = num(f[12]),
    group = f[13] or '', history = f[14] or '', runs_before = num(f[15]),
  }
end

-- Fair shares. Callers are read once per script and written back by settle().
local callers = {}
local vtime_read
local function vtime()
  if not vtime_read then vtime_read = num(call('HGET', CLOCK, 'vtime')) end
  return vtime_read
end

local function parked(c) return c.limit > 0 and c.running >= c.limit end

local function caller_of(name)
  local c = callers[name]
  if c then return c end
  local f = call('HMGET', caller_key(name), 'tag', 'running', 'waiting', 'weight', 'limit')
  c = {
    name = name, tag = num(f[1]), running = num(f[2]), waiting = num(f[3]), weight = tonumber(f[4] or 1) or 1,
    limit = num(f[5]), priorities = {}, filled = {}, woken = {}, standing = {}, fresh = not f[4],
  }
  c.was_parked = parked(c)
  c.was_waiting, c.was_running, c.was_tag = c.waiting, c.running, f[1] and c.tag
  c.was_weight, c.was_limit = f[4] and c.weight, f[5] and c.limit
  callers[name] = c
  return c
end

-- Tells whether a caller competed when the script began; checks the likeliest priority first and keeps what it read.
local function competes(c, likely)
  if c.was_waiting == 0 then return false end
  local function is_in(priority)
    c.standing[priority] = tonumber(call('ZSCORE', callers_key(priority), c.name) or nil)
    return c.standing[priority]
  end
  if is_in(likely) then return true end
  for _, priority in ipairs(PRIORITIES) do
    if priority ~= likely and is_in(priority) then return true end
  end
  return false
end

-- A caller that competes again starts at the current virtual time: idle time is not saved up.
local function catch_up(c, likely)
  if c.caught_up then return end
  c.caught_up = true
  if not competes(c, likely) then c.tag = math.max(c.tag, vtime()) end
end

local function push_wake(priority, tokens)
  local length = 0
  for _ = 1, math.min(tokens, 64) do length = call('RPUSH', wake_key(priority), '1') end
  if length > 128 then call('LTRIM', wake_key(priority), '0', '63') end  -- rarely: only without idle workers
end

-- Idle workers check for due jobs every half second; a job due sooner wakes one, so that it waits no longer than that.
local function wake_for_soon(priority, delay)
  if delay < 500 then push_wake(priority, 1) end
end

-- In each changed priority, a caller is listed exactly when it has ready jobs there and may start one.
local function update_listing(c, priority, away)
  if not away and (c.filled[priority] or call('EXISTS', ready_key(priority, c.name)) == 1) then
    if c.standing[priority] ~= c.tag then call('ZADD', callers_key(priority), exact(c.tag), c.name) end
    if c.woken[priority] then push_wake(priority, c.woken[priority]) end
  else
    call('ZREM', callers_key(priority), c.name)
  end
end

local unleased = {}  -- jobs that no longer run: their leases are removed in one command
local ended, ended_ids = {}, {}  -- by state: creation and id of jobs that have ended, likewise

local function write_caller(c)
  local changed = {}
  local function note(field, value, was, form)
    if value ~= was then
      changed[#changed + 1] = field
      changed[#changed + 1] = form(value)
    end
  end
  note('tag', c.tag, c.was_tag, exact)
  note('running', c.running, c.was_running, int)
  note('waiting', c.waiting, c.was_waiting, int)
  note('weight', c.weight, c.was_weight, exact)
  note('limit', c.limit, c.was_limit, int)
  if #changed > 0 then call('HSET', caller_key(c.name), unpack(changed)) end
end

local function list_ended(job, state)
  local entries = ended[state] or {}
  ended[state] = entries
  entries[#entries + 1] = int(job.created)
  entries[#entries + 1] = job.id
  ended_ids[#ended_ids + 1] = job.id
end

local function settle()
  if #unleased > 0 then
    call('ZREM', LEASES, unpack(unleased))
    unleased = {}
  end
  if #ended_ids > 0 then
    call('ZREM', LIVE, unpack(ended_ids))
    for state, entries in pairs(ended) do call('ZADD', ended_key(state), unpack(entries)) end
    ended, ended_ids = {}, {}
  end
  for name, c in pairs(callers) do
    local away = parked(c)
    if away ~= c.was_parked then
      if not away then catch_up(c, 'normal') end
      for _, priority in ipairs(PRIORITIES) do
        c.priorities[priority] = true
        if not away and not c.woken[priority] then c.woken[priority] = 1 end
      end
    end
    for priority in pairs(c.priorities) do update_listing(c, priority, away) end
    write_caller(c)
    local idle = c.running == 0 and c.waiting == 0
    if idle or c.fresh then call('PEXPIRE', caller_key(name), idle and IDLE_MS or LIVE_MS) end
    if c.waiting > 0 then
      if c.waiting ~= c.was_waiting then call('ZADD', WAITING, int(c.waiting), name) end
    elseif c.was_waiting > 0 then
      call('ZREM', WAITING, name)
    end
  end
  callers = {}
end

-- Ready: claimable from now on, in its caller's list of its priority, in the order of its sequence number.
local function make_ready(job, now)
  local c = caller_of(job.caller)
  catch_up(c, job.priority)
  call('ZADD', ready_key(job.priority, job.caller), int(job.seq), job.id)
  call('ZADD', QUEUE[job.priority], int(now), job.id)
  c.priorities[job.priority] = true
  c.filled[job.priority] = true
  c.fresh = true
  c.woken[job.priority] = (c.woken[job.priority] or 0) + 1
end

-- Takes a waiting job out of every set of waiting jobs.
local function leave_waiting(job)
  local c = caller_of(job.caller)
  call('ZREM', QUEUE[job.priority], job.id)
  if job.state == 'queued' then
    if call('ZREM', ready_key(job.priority, job.caller), job.id) == 0 then  -- set aside by a pause
      call('ZREM', 'finops:jobs:set-aside', job.id)
      call('ZREM', 'finops:jobs:coming-back', job.id)
    end
    c.priorities[job.priority] = true
    c.filled[job.priority] = nil
  else
    call('ZREM', DEFERRED, job.id)
  end
  c.waiting = math.max(0, c.waiting - 1)
  if job.deadline > 0 then call('ZREM', DEADLINES, job.id) end
end

local function leave_running(job)
  unleased[#unleased + 1] = job.id
  local c = caller_of(job.caller)
  c.running = math.max(0, c.running - 1)
end

-- Appends upstream attempts, JSON objects with a line feed between them, to the record's last 50. Runs are counted over
-- explicit retries.
local function add_history(job, lines)
  if not lines or lines == '' then return end
  if job.runs_before > 0 then
    lines = string.gsub(lines, '{"run":(%d+)', function(run) return '{"run":' .. int(num(run) + job.runs_before) end)
  end
  local all = job.history == '' and lines or job.history .. '\n' .. lines
  local _, feeds = string.gsub(all, '\n', '\n')
  for _ = 50, feeds do all = string.gsub(all, '^[^\n]*\n', '', 1) end
  job.history = all
  call('HSET', job_key(job.id), 'history', all)
end

-- The entry of a run that tells nothing itself: its worker was lost, or its caller or its deadline ended it.
local function add_ended_run(job, now, status, code)
  local worker = string.match(job.lease, '^(.*):') or ''
  add_history(job, '{"run":' .. int(job.attempts) .. ',"worker":' .. cjson.encode(worker)
    .. ',"provider":null,"model":null,"key":null,"status":' .. (status and int(status) or 'null') .. ',"code":"' .. code
    .. '","started_at":' .. int(job.started) .. ',"duration_ms":' .. int(math.max(0, now - job.started))
    .. ',"input_tokens":null,"output_tokens":null,"cost_usd":null}')
end

-- Bytes of request bodies and results that a caller keeps: 'live' those of jobs that have not ended, the others by the
-- hour in which they expire.
local HOUR_MS = 3600000
local function stored_key(caller) return 'finops:stored:' .. caller end
local function hour_of(ms) return int(ms / HOUR_MS) end

local function count_bytes(caller, field, bytes)
  if bytes == 0 then return end
  local now = call('HINCRBY', stored_key(caller), field, int(bytes))
  if now == 0 then
    call('HDEL', stored_key(caller), field)
  elseif now == bytes then
    call('PEXPIRE', stored_key(caller), int(2 * LIVE_MS))  -- with each new field, so about once an hour
  end
end

local function stored_bytes(caller, now)
  local total, this_hour = 0, math.floor(now / HOUR_MS)
  local f = call('HGETALL', stored_key(caller))
  for i = 1, #f, 2 do
    if tonumber(f[i]) and tonumber(f[i]) < this_hour then
      call('HDEL', stored_key(caller), f[i])
    else
      total = total + math.max(0, num(f[i + 1]))
    end
  end
  return total
end

-- A running job waits again: released, deferred (due later) or taken from a worker that is gone.
local function wait_again(job, now, due, reason, attempts)
  leave_running(job)
  call('DEL', arq_progress_key(job.id))
  local c = caller_of(job.caller)
  c.waiting = c.waiting + 1
  c.fresh = true
  if job.deadline > 0 then call('ZADD', DEADLINES, int(job.deadline), job.id) end
  local state = due > now and 'deferred' or 'queued'
  call('HSET', job_key(job.id), 'state', state, 'lease', '', 'attempts', int(attempts), 'due_ms', int(due),
    'reason', reason)
  local keep = due - now + LIVE_MS
  for _, key in ipairs({job_key(job.id), payload_key(job.id), events_key(job.id), arq_job_key(job.id)}) do
    call('PEXPIRE', key, int(keep))
  end
  if state == 'deferred' then
    call('ZADD', DEFERRED, int(due), job.id)
    call('ZADD', QUEUE[job.priority], int(due), job.id)
    wake_for_soon(job.priority, due - now)
  else
    make_ready(job, now)
  end
  notify(job.id, state, {
    name = state == 'deferred' and 'job.deferred' or 'job.requeued',
    more = ',"reason":"' .. reason .. '","attempt":' .. int(attempts),
  })
end

-- arq's own result entry, for its Job.status(), Job.info() and Job.result_info().
local function write_arq_result(job, now, outcome, ttl)
  call('SET', arq_result_key(job.id), '{"t":' .. int(job.attempts) .. ',"f":"run_job","a":["' .. job.id
    .. '"],"k":{},"et":' .. int(job.created) .. ',"s":' .. (outcome.state == 'completed' and 'true' or 'false')
    .. ',"r":{"state":"' .. outcome.state .. '","status_code":' .. int(outcome.status) .. '},"st":'
    .. int(job.started > 0 and job.started or now) .. ',"ft":' .. int(now) .. ',"q":"' .. QUEUE[job.priority]
    .. '","id":"' .. job.id .. '"}', 'PX', int(ttl))
end

-- Charges a run that its caller ended by a cancel or a deadline what was reserved for it: otherwise a caller could read
-- the events and cancel just before the end. Records of older versions know no most output: a token per event so far.
local function charge(entry, id, estimate)
  local emitted = num(estimate.output or call('HGET', job_key(id), 'said'))
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
  local f = call('HMGET', job_key(job.id), 'context', 'type', 'model', 'request_id')
  local context = f[1] and f[1] ~= '' and cjson.decode(f[1]) or {}
  if type(context.who) ~= 'table' then return '' end
  local entry = context.who
  entry.v, entry.at, entry.job, entry.type, entry.asked, entry.request_id = 1, now, job.id, f[2], f[3], f[4] or ''
  entry.status, entry.code = outcome.status, outcome.code or outcome.state
  entry.surface, entry.priced = context.surface, job.started == 0
  local ended_by_caller = outcome.state == 'cancelled' or outcome.status == 504
  if job.state == 'running' and ended_by_caller and type(context.estimate) == 'table' then
    charge(entry, job.id, context.estimate)
  end
  return cjson.encode(entry)
end

local function write_side_entries(job, now, outcome, ttl)
  if job.group ~= '' then
    call('RPUSH', group_key(job.group), job.id)
    call('PEXPIRE', group_key(job.group), LIVE_MS)
  end
  if job.webhook ~= '' then
    call('XADD', OUTBOX, 'MAXLEN', '~', '100000', '*', 'job', job.id, 'webhook', job.webhook, 'state', outcome.state,
      'owner', job.owner)
  end
  settle_outcome(job.id, 'settled', entry_of(job, now, outcome), now)
  if outcome.state == 'failed' then keep_hold(job.id, ttl) end
  if outcome.dead then
    call('ZADD', DEAD, int(now), job.id)
    call('ZREMRANGEBYRANK', DEAD, '0', '-10001')
  end
end

-- Writes the outcome of a live job with everything that follows from it. outcome: state, status, error; of runs also token, result, result_type, meta,
-- ledger, dead, index, history (nil: the run tells nothing). The token stays in the record, so that a finish whose answer was lost on the way may be sent again.
local function conclude(job, now, outcome)
  if job.state == 'running' then
    leave_running(job)
    if outcome.history then add_history(job, outcome.history) else add_ended_run(job, now, outcome.status, outcome.code) end
  else
    leave_waiting(job)
  end
  local id = job.id
  local ttl = outcome.dead and math.max(job.ttl_ms, DEAD_MS) or job.ttl_ms
  local fields = {'state', outcome.state, 'lease', outcome.token or '', 'completed_ms', int(now), 'expires_ms', int(now + ttl),
    'status_code', int(outcome.status)}
  for _, field in ipairs({'result_type', 'result', 'error', 'meta'}) do
    local value = outcome[field]
    if value and value ~= '' then
      fields[#fields + 1] = field
      fields[#fields + 1] = value
    end
  end
  if outcome.part then
    fields[#fields + 1] = 'result_size'
    fields[#fields + 1] = int(call('STRLEN', outcome.part))
    call('RENAME', outcome.part, result_key(id))
    call('PEXPIRE', result_key(id), int(ttl))
  end
  local size = num(call('HGET', job_key(id), 'size'))
  local kept = #(outcome.result or '') + (outcome.part and num(fields[#fields]) or 0)
  if job.keep or outcome.state == 'failed' then kept = kept + size end
  count_bytes(job.caller, 'live', -size)
  count_bytes(job.caller, hour_of(now + ttl), kept)
  fields[#fields + 1] = 'stored'
  fields[#fields + 1] = int(kept)
  call('HSET', job_key(id), unpack(fields))
  call('PEXPIRE', job_key(id), int(ttl))
  list_ended(job, outcome.state)
  if outcome.index and outcome.index ~= '' then call('ZADD', index_key(outcome.index), int(job.created), id) end
  if job.keep or outcome.state == 'failed' then
    call('PEXPIRE', payload_key(id), int(ttl))
    call('DEL', arq_progress_key(id), arq_job_key(id))
  else
    call('DEL', arq_progress_key(id), arq_job_key(id), payload_key(id))
  end
  write_arq_result(job, now, outcome, ttl)
  write_side_entries(job, now, outcome, ttl)
  notify(id, outcome.state, {name = 'job.' .. outcome.state, more = ',"status_code":' .. int(outcome.status)})
  call('PEXPIRE', events_key(id), int(ttl))
end

local function miss_deadline(job, now, error)
  conclude(job, now, {state = 'failed', status = 504, error = error, code = 'deadline_exceeded'})
end

local function overdue(job, now) return job.deadline > 0 and job.deadline <= now end

-- Live workers beat at least every half second. A longer silence means that no worker could reach the store (or none
-- ran): leases that expired meanwhile prove nothing until their holders have had time to renew them.
local function beat(now, lease)
  local f = call('HMGET', CLOCK, 'beat', 'hold', 'pauses')
  local last, hold = num(f[1]), num(f[2])
  if last > 0 and now - last > math.max(1000, lease / 2) then
    hold = now + math.max(500, lease / 2)
    call('HSET', CLOCK, 'beat', int(now), 'hold', int(hold))
  else
    call('HSET', CLOCK, 'beat', int(now))
  end
  return hold, f[3]
end

-- The position of a queued job and the speed of the queue: {position, claims per second}. known_depth: the priority's
-- depth, if the caller has it.
local function forecast(job, known_depth)
  local rank = call('ZRANK', ready_key(job.priority, job.caller), job.id)
  if not rank then return {0, '0'} end
  for _, priority in ipairs(PRIORITIES) do
    if priority == job.priority then break end
    rank = rank + call('ZCARD', ready_key(priority, job.caller))
  end
  local ahead = rank * math.max(1, call('ZCARD', callers_key(job.priority)))
  local depth = known_depth or call('ZCARD', QUEUE[job.priority])
  return {math.min(ahead + 1, math.max(depth, 1)), call('HGET', CLOCK, 'rate') or '0'}
end
