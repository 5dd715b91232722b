#!lua flags=allow-oom
--!include prelude.lua
--!include pauses.lua
-- Gives a worker its next jobs in fair order, after handling what fell due: deferred jobs, dead leases, deadlines.
-- ARGV: worker, count, lease in ms, most attempts, largest payload to include, error of a missed deadline, format of the
-- error of spent attempts (%s: their number), then the priorities to serve, and with several shards the largest virtual
-- time that the worker has seen in any. Answers {now, ms until something falls due, 1 when more jobs are ready, reruns,
-- rows}, and with several shards the tag of the caller that is next ('' none) and the virtual time; the fields of a row
-- are ClaimRow's in shared/jobs/replies.py.
local worker, count, lease = ARGV[1], num(ARGV[2]), num(ARGV[3])
local max_attempts, inline_max = num(ARGV[4]), num(ARGV[5])
local deadline_error, attempts_error = ARGV[6], ARGV[7]
local served = {}
for i = 8, #ARGV do served[#served + 1] = ARGV[i] end
local elsewhere = tonumber(served[#served])
if elsewhere then served[#served] = nil end
local MOST_BEHIND = 100  -- jobs that a caller of a shard which was not claimed from may be ahead of others afterwards

local now = now_ms()
local hold, pausing = beat(now, lease)
local reruns = 0

local function due_ids(set, limit) return redis.call('ZRANGEBYSCORE', set, '-inf', int(now), 'LIMIT', '0', limit) end

local function promote(id)
  local job = read_job(id)
  redis.call('ZREM', DEFERRED, id)
  if not job or job.state ~= 'deferred' then return end
  job.state = 'queued'
  redis.call('HSET', job_key(id), 'state', 'queued')
  make_ready(job, num(redis.call('ZSCORE', QUEUE[job.priority], id) or now))
  notify(id, 'queued', 'job.queued')
end

local function lose(id)
  local job = read_job(id)
  if not job or job.state ~= 'running' then
    redis.call('ZREM', LEASES, id)
  elseif overdue(job, now) then
    miss_deadline(job, now, deadline_error)
  elseif job.attempts >= max_attempts then
    conclude(job, now, {
      state = 'failed', status = 500, dead = true, error = string.format(attempts_error, int(job.attempts)),
      code = 'lost_lease',
    })
  else
    add_history(job, ended_run(job, now, nil, 'lost_lease'))
    wait_again(job, now, now, 'lost_lease', job.attempts)
    reruns = reruns + 1
  end
end

local function expire(id)
  local job = read_job(id)
  redis.call('ZREM', DEADLINES, id)
  if job and (job.state == 'queued' or job.state == 'deferred') then miss_deadline(job, now, deadline_error) end
end

for _, id in ipairs(due_ids(DEADLINES, SWEEP)) do expire(id) end
for _, id in ipairs(due_ids(DEFERRED, SWEEP)) do promote(id) end
if now >= hold then
  for _, id in ipairs(due_ids(LEASES, SWEEP)) do lose(id) end
end
settle_outcomes()

local rules = pausing and pause_rules(now)
if rules then
  local open = {}
  for _, priority in ipairs(served) do
    if not rules.all and not rules.priorities[priority] then open[#open + 1] = priority end
  end
  served = open
end

-- The first callers of a priority, those of paused keys taken off the list.
local function first_callers(priority)
  local heads = redis.call('ZRANGE', callers_key(priority), '0', count - 1)
  if not rules or not next(rules.keys) then return heads end
  local paused = {}
  for _, name in ipairs(heads) do if rules.keys[name] then paused[#paused + 1] = name end end
  if #paused == 0 then return heads end
  redis.call('ZREM', callers_key(priority), unpack(paused))
  return first_callers(priority)
end

-- The competing callers. The first `count` of each priority are enough for `count` picks, because a pick only moves its
-- caller back.
local field, competitors = {}, {}
if count > 0 then
  local seen = {}
  for _, priority in ipairs(served) do
    for _, name in ipairs(first_callers(priority)) do
      if not seen[name] then
        seen[name] = true
        local c = caller_of(name)
        c.drained = {}
        field[#field + 1] = c
        competitors[#competitors + 1] = c
      end
    end
  end
end

local function next_caller()
  local best
  for i = 1, #field do
    if not best or field[i].tag < field[best].tag then best = i end
  end
  return best
end

local function pop(c)
  for _, priority in ipairs(served) do
    if not c.drained[priority] then
      local head = redis.call('ZPOPMIN', ready_key(priority, c.name))
      if head[1] then return head[1], priority end
      c.drained[priority] = true
    end
  end
end

local claims, leases, unqueue = {}, {}, {}
local stamp, lease_end, mirror = int(now), int(now + lease), int(lease + MIRROR_MS)
local bodies, body_of = {}, {}  -- keys of payloads to read, and the claims that they belong to
local fence = count > 0 and #field > 0 and redis.call('HINCRBY', CLOCK, 'fence', count) or 0
local virtual = vtime() + (elsewhere and 0.5 or 0)  -- see start_tag

local DETAILS = {'state', 'attempts', 'deadline_ms', 'owner', 'type', 'model', 'request_id', 'content_type', 'context',
  'ttl_s', 'created_ms', 'due_ms', 'webhook', 'reason', 'size', 'payload_as'}
if rules then DETAILS[#DETAILS + 1] = 'labels' end
local most_aside = 200

local function start(c, id, priority, f)
  local token = worker .. ':' .. int(fence - #claims)
  local attempt = int(num(f[2]) + 1)
  redis.call('HSET', job_key(id), 'state', 'running', 'lease', token, 'attempts', attempt, 'started_ms', stamp,
    'said', '0')
  redis.call('SET', arq_progress_key(id), token, 'PX', mirror)
  if num(f[3]) > 0 then redis.call('ZREM', DEADLINES, id) end
  leases[#leases + 1] = lease_end
  leases[#leases + 1] = id
  notify(id, 'running', 'job.started', ',"attempt":' .. attempt)
  c.running = c.running + 1
  local claim = {id, token, priority, attempt, f[4] or '', f[5] or '', f[6] or '', f[7] or '', f[9] or '', f[10] or '',
    f[11] or '0', f[12] or '0', false}
  if f[3] or f[8] or f[13] or f[14] or f[16] then  -- few jobs have any of these; an element of a reply takes 2,400 instructions
    for i, value in ipairs({f[3] or '0', f[8] or '', f[13] or '', f[14] or '', f[16] or ''}) do claim[13 + i] = value end
  end
  claims[#claims + 1] = claim
  if num(f[15]) <= inline_max then
    bodies[#bodies + 1] = payload_key(id)
    body_of[#body_of + 1] = claim
  end
end

-- A popped job is a start, a missed deadline, or a record that is no longer there.
local function take(c, id, priority)
  local f = redis.call('HMGET', job_key(id), unpack(DETAILS))
  if rules and f[1] == 'queued' and set_aside(rules, f[6] or '', f[17] or '') then
    redis.call('ZADD', SET_ASIDE, f[11] or '0', id)
    most_aside = most_aside - 1
    return
  end
  local gone = unqueue[priority] or {}
  unqueue[priority] = gone
  if f[1] == 'queued' and num(f[3]) > 0 and num(f[3]) <= now then
    miss_deadline(read_job(id), now, deadline_error)
    return
  end
  gone[#gone + 1] = id
  c.waiting = math.max(0, c.waiting - 1)
  if f[1] == 'queued' then
    start(c, id, priority, f)
    virtual = math.max(virtual, c.tag)
    -- Of several shards the one whose callers are behind is served first, until they are not.
    local floor = elsewhere and elsewhere - MOST_BEHIND or virtual
    c.tag = math.max(c.tag, floor) + 1 / c.weight
  end
end

local looks = count * 4
while #claims < count and looks > 0 and most_aside > 0 do
  local aside = most_aside
  local at = next_caller()
  if not at then break end
  local c = field[at]
  local id, priority
  if not parked(c) then id, priority = pop(c) end
  if id then
    take(c, id, priority)
    if aside == most_aside then looks = looks - 1 end
    c.priorities[priority] = true
    c.moved = true
  else
    looks = looks - 1
    table.remove(field, at)
    if not c.moved then  -- it was listed without a job to start: settle() removes it
      for _, l in ipairs(PRIORITIES) do c.priorities[l] = true end
    end
  end
end

-- The tag of a served caller moves also in priorities that it was not served from.
for _, c in ipairs(competitors) do
  if c.moved then
    for _, priority in ipairs(PRIORITIES) do
      if not c.drained[priority] and not c.priorities[priority] then
        redis.call('ZADD', callers_key(priority), 'XX', exact(c.tag), c.name)
      end
    end
  end
end

if #leases > 0 then redis.call('ZADD', LEASES, unpack(leases)) end
if #bodies > 0 then
  for i, body in ipairs(redis.call('MGET', unpack(bodies))) do body_of[i][13] = body end
end
for priority, ids in pairs(unqueue) do
  if #ids > 0 then redis.call('ZREM', QUEUE[priority], unpack(ids)) end
end
settle_outcomes()

-- Where callers begin that compete again. With several shards, before all others of this one: virtual times of shards are
-- some jobs apart, and tags mostly whole numbers, so that they would wait for a round (p50 40 ms in a simulation of 16
-- shards, 2 ms so). Nobody gains more by going and coming back.
local start_tag, head = virtual, nil
if elsewhere then
  virtual = math.max(virtual, elsewhere)
  for _, priority in ipairs(served) do
    local first = redis.call('ZRANGE', callers_key(priority), '0', '0', 'WITHSCORES')
    if first[2] and (not head or num(first[2]) < num(head)) then head = first[2] end
  end
  start_tag = (head and math.min(virtual, num(head)) or virtual) - 0.5
end

-- Recent speed, for the estimated start of waiting jobs: claims per second, smoothed over some seconds.
local speed = redis.call('HMGET', CLOCK, 'rate', 'rate_at', 'rate_n')
local made = num(speed[3]) + #claims
local elapsed = now - num(speed[2])
if elapsed >= 1000 then
  local fresh = made * 1000 / elapsed
  local rate = elapsed > 60000 and fresh or num(speed[1]) * 0.7 + fresh * 0.3
  redis.call('HSET', CLOCK, 'vtime', exact(start_tag), 'rate', exact(rate), 'rate_at', int(now), 'rate_n', '0')
elseif #claims > 0 or elsewhere and start_tag > vtime() then
  redis.call('HSET', CLOCK, 'vtime', exact(start_tag), 'rate_n', int(made))
end

-- A drained priority keeps no wake-up tokens; those of other priorities are for other workers.
local more = 0
for _, priority in ipairs(served) do
  if redis.call('EXISTS', callers_key(priority)) == 1 then more = 1 else redis.call('DEL', wake_key(priority)) end
end

local function until_first(set, floor)
  local head = redis.call('ZRANGE', set, '0', '0', 'WITHSCORES')
  if not head[2] then return 500 end
  return math.max(0, math.max(num(head[2]), floor) - now)
end

local wait = math.min(500, until_first(DEFERRED, 0), until_first(LEASES, hold), until_first(DEADLINES, 0))
local reply = {int(now), math.floor(wait), more, reruns, claims}
if elsewhere then reply[6], reply[7] = head or '', exact(virtual) end
return reply
