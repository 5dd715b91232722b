-- Shared by all scripts of the job engine.

--!include job_keys.lua

local function int(n) return string.format('%d', math.floor(n)) end  -- half of what '%.0f' takes
local function exact(n) return string.format('%.17g', n) end
local function num(v) return tonumber(v or 0) or 0 end

local function now_ms()
  local t = redis.call('TIME')
  return num(t[1]) * 1000 + math.floor(num(t[2]) / 1000)
end

--!include meters.lua
--!include books.lua

-- One line of the event log. A list, not a stream: a stream takes 4 KiB for its first entry, and an entry's id is simply
-- how many were before it, `events_base` of them trimmed off.
local function log_event(id, name, data)
  return redis.call('RPUSH', events_key(id), name .. '\n' .. data)
end

-- more: further members of the event, from a comma on.
local function log_change(id, state, name, more)
  redis.call('RPUSH', events_key(id), name .. '\n{"id":"' .. id .. '","status":"' .. state .. '"' .. (more or '') .. '}')
end

-- A change of state: its event, and a message on the job's channel.
local function notify(id, state, name, more)
  log_change(id, state, name, more)
  redis.call('PUBLISH', signal_key(id), state)
end

local FIELDS = {'state', 'lease', 'owner', 'priority', 'ttl_s', 'webhook', 'created_ms', 'started_ms', 'attempts',
  'deadline_ms', 'keep', 'seq', 'group', 'history', 'runs_before', 'size', 'payload_as'}

-- The part of a record that decides what may happen to the job; nil when there is none.
local function read_job(id)
  local f = redis.call('HMGET', job_key(id), unpack(FIELDS))
  if not f[1] then return nil end
  local owner = f[3] or ''
  return {
    id = id, state = f[1], lease = f[2] or '', owner = owner, caller = owner == '' and '-' or owner,
    priority = f[4] or 'normal', ttl_ms = num(f[5] or 3600) * 1000, webhook = f[6] or '', created = num(f[7]),
    started = num(f[8]), attempts = num(f[9]), deadline = num(f[10]), keep = f[11] == '1', seq = num(f[12]),
    group = f[13] or '', history = f[14] or '', runs_before = num(f[15]), size = num(f[16]), payload_as = f[17],
  }
end

--!include fair_shares.lua

-- The record's last 50 upstream attempts, JSON objects with a line feed between them, after these; nil when there are none.
-- Runs are counted over explicit retries.
local function longer_history(job, lines)
  if not lines or lines == '' then return nil end
  if job.runs_before > 0 then
    lines = string.gsub(lines, '{"run":(%d+)', function(run) return '{"run":' .. int(num(run) + job.runs_before) end)
  end
  local all = job.history == '' and lines or job.history .. '\n' .. lines
  local _, feeds = string.gsub(all, '\n', '\n')
  for _ = 50, feeds do all = string.gsub(all, '^[^\n]*\n', '', 1) end
  job.history = all
  return all
end

local function add_history(job, lines)
  local all = longer_history(job, lines)
  if all then redis.call('HSET', job_key(job.id), 'history', all) end
end

-- The entry of a run that tells nothing itself: its worker was lost, or its caller or its deadline ended it.
local function ended_run(job, now, status, code)
  local worker = string.match(job.lease, '^(.*):') or ''
  return '{"run":' .. int(job.attempts) .. ',"worker":' .. cjson.encode(worker)
    .. ',"provider":null,"model":null,"key":null,"status":' .. (status and int(status) or 'null') .. ',"code":"' .. code
    .. '","started_at":' .. int(job.started) .. ',"duration_ms":' .. int(math.max(0, now - job.started))
    .. ',"input_tokens":null,"output_tokens":null,"cost_usd":null}'
end

-- Bytes of request bodies and results that a caller keeps: 'live' those of jobs that have not ended, the others by the
-- hour in which they expire.
local HOUR_MS = 3600000
local function hour_of(ms) return int(ms / HOUR_MS) end

local function count_bytes(caller, field, bytes)
  if bytes == 0 then return end
  local now = redis.call('HINCRBY', stored_key(caller), field, int(bytes))
  if now == 0 then
    redis.call('HDEL', stored_key(caller), field)
  elseif now == bytes then
    redis.call('PEXPIRE', stored_key(caller), int(2 * LIVE_MS))  -- with each new field, so about once an hour
  end
end

local function stored_bytes(caller, now)
  local total, this_hour = 0, math.floor(now / HOUR_MS)
  local f = redis.call('HGETALL', stored_key(caller))
  for i = 1, #f, 2 do
    if tonumber(f[i]) and tonumber(f[i]) < this_hour then
      redis.call('HDEL', stored_key(caller), f[i])
    else
      total = total + math.max(0, num(f[i + 1]))
    end
  end
  return total
end

-- The object that holds a body is to be deleted, if it is in the object store: no record names it any more.
local function drop_body(encoding, now)
  if encoding and string.sub(encoding, 1, 2) == 'b:' then redis.call('ZADD', BLOBS, int(now), string.sub(encoding, 3)) end
end

-- A running job waits again: released, deferred (due later) or taken from a worker that is gone.
local function wait_again(job, now, due, reason, attempts)
  leave_running(job)
  redis.call('DEL', arq_progress_key(job.id))
  local c = caller_of(job.caller)
  c.waiting = c.waiting + 1
  c.fresh = true
  if job.deadline > 0 then redis.call('ZADD', DEADLINES, int(job.deadline), job.id) end
  local state = due > now and 'deferred' or 'queued'
  redis.call('HSET', job_key(job.id), 'state', state, 'lease', '', 'attempts', int(attempts), 'due_ms', int(due),
    'reason', reason)
  local keep = due - now + LIVE_MS
  for _, key in ipairs({job_key(job.id), payload_key(job.id), events_key(job.id), arq_job_key(job.id)}) do
    redis.call('PEXPIRE', key, int(keep))
  end
  if state == 'deferred' then
    redis.call('ZADD', DEFERRED, int(due), job.id)
    redis.call('ZADD', QUEUE[job.priority], int(due), job.id)
    wake_for_soon(job.priority, due - now)
  else
    make_ready(job, now)
  end
  notify(job.id, state, state == 'deferred' and 'job.deferred' or 'job.requeued',
    ',"reason":"' .. reason .. '","attempt":' .. int(attempts))
end

--!include outcomes.lua

-- Live workers beat at least every half second. A longer silence means that no worker could reach the store (or none
-- ran): leases that expired meanwhile prove nothing until their holders have had time to renew them.
local function beat(now, lease)
  local f = redis.call('HMGET', CLOCK, 'beat', 'hold', 'pauses')
  local last, hold = num(f[1]), num(f[2])
  if last > 0 and now - last > math.max(1000, lease / 2) then
    hold = now + math.max(500, lease / 2)
    redis.call('HSET', CLOCK, 'beat', int(now), 'hold', int(hold))
  else
    redis.call('HSET', CLOCK, 'beat', int(now))
  end
  return hold, f[3]
end

-- The position of a queued job and the speed of the queue: {position, claims per second}. depths: those of the
-- priorities, if the caller has them.
local function forecast(job, depths)
  local rank = redis.call('ZRANK', ready_key(job.priority, job.caller), job.id)
  if not rank then return {0, '0'} end
  for _, priority in ipairs(PRIORITIES) do
    if priority == job.priority then break end
    if not depths or depths[priority] > 0 then rank = rank + redis.call('ZCARD', ready_key(priority, job.caller)) end
  end
  local ahead = rank * math.max(1, redis.call('ZCARD', callers_key(job.priority)))
  local depth = depths and depths[job.priority] + 1 or redis.call('ZCARD', QUEUE[job.priority])
  return {math.min(ahead + 1, math.max(depth, 1)), redis.call('HGET', CLOCK, 'rate') or '0'}
end
