#!lua
--!include prelude.lua
--!include repeats.lua
--!include stored_responses.lua
-- Accepts a job: record, payload, arq's entry, queue entry and wake-up, all or nothing. Not allowed to run when memory is
-- full: the server rejects it before its first write. The replies are those of shared/jobs/replies.py: {'new', now,
-- forecast}, {'known', id, record, forecast}, {'conflict'} or {'full', 'queue' or 'caller', depth, claims per second}.
local id, caller, priority = ARGV[1], ARGV[2], ARGV[3]
local delay, deadline = num(ARGV[4]), num(ARGV[5])
local weight, limit = num(ARGV[6]), num(ARGV[7])
local max_total, max_own = num(ARGV[8]), num(ARGV[9])
local idem, fingerprint, dedupe, blind = ARGV[10] ~= '' and named(ARGV[10]) or '', ARGV[11], named(ARGV[12]), ARGV[13]
local payload, owner = ARGV[14], ARGV[15]
local FIRST_INDEX = 17
local FIRST = FIRST_INDEX + num(ARGV[16]) + 3
local max_stored, size, reserved = num(ARGV[FIRST - 3]), num(ARGV[FIRST - 2]), ARGV[FIRST - 1] == '1'

local same = earlier(idem, fingerprint, dedupe, blind) or known(id)
if same then return same end

local total, depth = 0, {}
for _, name in ipairs(PRIORITIES) do
  depth[name] = redis.call('ZCARD', QUEUE[name])
  total = total + depth[name]
end
local c = caller_of(caller)
if total >= max_total then return {'full', 'queue', total, redis.call('HGET', CLOCK, 'rate') or '0'} end
if c.waiting >= max_own then return {'full', 'caller', c.waiting, redis.call('HGET', CLOCK, 'rate') or '0'} end

local now = now_ms()
if max_stored > 0 then
  local stored = overfull(caller, now, size, max_stored)
  if stored then return {'full', 'bytes', stored, '0'} end
end
local due, stamp = now + delay, int(now)
local keep = int(delay + LIVE_MS)
local job = {
  id = id, caller = caller, priority = priority, seq = redis.call('HINCRBY', CLOCK, 'seq', 1), deadline = deadline,
  state = delay > 0 and 'deferred' or 'queued',
}
c.weight, c.limit = weight, limit
c.waiting = c.waiting + 1
-- The keys of a busy caller get their expiry once a day.
local today = int(now / IDLE_MS)
local renews = c.day ~= today or delay > 0 or c.was_waiting + c.was_running == 0
c.day = today

local fields = {'v', '1', 'state', job.state, 'created_ms', stamp, 'due_ms', int(due), 'seq', int(job.seq)}
if deadline > 0 then
  job.deadline = now + deadline
  fields[#fields + 1] = 'deadline_ms'
  fields[#fields + 1] = int(job.deadline)
  redis.call('ZADD', DEADLINES, int(job.deadline), id)
end
for i = FIRST, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('HSET', job_key(id), unpack(fields))
redis.call('PEXPIRE', job_key(id), keep)
if payload == '' and redis.call('EXISTS', part_key(id, 'new')) == 1 then  -- a large one has been written before, in parts
  redis.call('RENAME', part_key(id, 'new'), payload_key(id))
  redis.call('PEXPIRE', payload_key(id), keep)
else
  redis.call('SET', payload_key(id), payload, 'PX', keep)
end
if reserved then prolong_hold(id, now + delay + LIVE_MS, now) end  -- from here on the job's end releases its reservation
redis.call('SET', arq_job_key(id), '{"t":null,"f":"run_job","a":["' .. id .. '"],"k":{},"et":' .. stamp .. '}', 'PX', keep)
if job.state == 'deferred' then
  redis.call('ZADD', DEFERRED, int(due), id)
  redis.call('ZADD', QUEUE[priority], int(due), id)
  wake_for_soon(priority, delay)
else
  make_ready(job, now)
end
c.fresh = renews
count_bytes(caller, 'live', size)
log_change(id, job.state, 'job.' .. job.state)  -- nobody can be subscribed yet
redis.call('PEXPIRE', events_key(id), keep)
settle()

local trims = job.seq % 64 == 0  -- lists may be that much longer than they say
local listed = {LIVE}
for i = FIRST_INDEX, FIRST - 4 do listed[#listed + 1] = index_key(ARGV[i]) end
redis.call('ZADD', ALL, stamp, id)
for _, key in ipairs(listed) do redis.call('ZADD', key, stamp, id) end
if trims then
  local lost = redis.call('ZRANGE', ALL, '0', '-100001')
  if #lost > 0 then redis.call('ZREM', COSTS, unpack(lost, 1, math.min(#lost, 5000))) end
  redis.call('ZREMRANGEBYRANK', ALL, '0', '-100001')
  local oldest = redis.call('ZRANGE', ALL, '0', '0', 'WITHSCORES')
  for _, state in ipairs({'completed', 'failed', 'cancelled'}) do listed[#listed + 1] = ended_key(state) end
  for _, key in ipairs(listed) do redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. oldest[2]) end
end
if owner ~= '' then
  redis.call('ZADD', owner_key(owner), stamp, id)
  if trims then redis.call('ZREMRANGEBYRANK', owner_key(owner), '0', '-10001') end
  if renews then redis.call('PEXPIRE', owner_key(owner), int(delay + LIVE_MS + IDLE_MS)) end
end
if idem ~= '' then
  redis.call('HSET', idem, 'id', id, 'body', fingerprint)
  redis.call('PEXPIRE', idem, '86400000')
end
redis.call('SET', dedupe, id, 'PX', '120000')
return {'new', stamp, job.state == 'queued' and forecast(job, depth) or {0, '0'}}
