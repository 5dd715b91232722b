-- Shared by the scripts of bulk operations. Includers have prelude.lua.
local OPEN_OPERATIONS = 'finops:operations:open'
local OPERATION_MS = 2592000000     -- an open operation: 30 days, refreshed at each turn
local ENDED_MS = 604800000          -- one that has ended: 7 days

local function operation_key(id) return 'finops:operation:' .. id end
local function operation_jobs_key(id) return 'finops:operation:' .. id .. ':jobs' end
local function open_key(maker) return 'finops:owner:' .. (maker == '' and '-' or maker) .. ':operations' end

local function holds_operation(id, turn)
  local f = redis.call('HMGET', operation_key(id), 'turn', 'status')
  return f[1] == turn and (f[2] == 'queued' or f[2] == 'running')
end

local function hold_operation(id, now, ms)
  redis.call('ZADD', OPEN_OPERATIONS, 'XX', int(now + ms), id)
  redis.call('PEXPIRE', operation_key(id), OPERATION_MS)
  redis.call('PEXPIRE', operation_jobs_key(id), OPERATION_MS)
end

-- Ends an operation; the jobs that were not looked at are counted as `rest`: skipped or failed.
local function end_operation(id, now, status, rest)
  local left = redis.call('ZCARD', operation_jobs_key(id))
  if left > 0 then redis.call('HINCRBY', operation_key(id), rest, left) end
  if redis.call('HGET', operation_key(id), 'counted') ~= '1' then redis.call('HSET', operation_key(id), 'matched', int(left), 'counted', '1') end
  redis.call('HSET', operation_key(id), 'status', status, 'completed_ms', int(now))
  redis.call('HINCRBY', operation_key(id), 'turn', 1)
  redis.call('DEL', operation_jobs_key(id))
  redis.call('ZREM', OPEN_OPERATIONS, id)
  redis.call('ZREM', open_key(redis.call('HGET', operation_key(id), 'maker') or ''), id)
  redis.call('PEXPIRE', operation_key(id), ENDED_MS)
end

-- What a job was estimated to cost at most, in micro-USD; 0 where that is not known. Its fields are numbers and names.
local function estimate_in(context)
  local text = string.match(context or '', '"estimate":(%b{})')
  local known, estimate = pcall(cjson.decode, text or '{}')
  if not known then return 0 end
  return num(estimate.cost) + math.floor(num(estimate.output) * num(estimate.output_rate) / 1000000 + 0.5)
end

-- Counts a job of an operation, once: whoever takes it off the list does it. result: done, skipped or failed.
local function count_job(operation, id, result, cost)
  if redis.call('ZREM', operation_jobs_key(operation), id) == 0 then return false end
  redis.call('HINCRBY', operation_key(operation), result, 1)
  if cost > 0 then redis.call('HINCRBY', operation_key(operation), 'cost_micro', int(cost)) end
  return true
end

-- Counts jobs of an operation that are done or skipped, which are still on its list.
local function count_jobs(operation, ids, done, cost)
  redis.call('ZREM', operation_jobs_key(operation), unpack(ids))
  if done > 0 then redis.call('HINCRBY', operation_key(operation), 'done', done) end
  if #ids > done then redis.call('HINCRBY', operation_key(operation), 'skipped', #ids - done) end
  if cost > 0 then redis.call('HINCRBY', operation_key(operation), 'cost_micro', int(cost)) end
end
