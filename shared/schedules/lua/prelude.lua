-- Shared by the scripts of schedules. Key names repeat shared/schedules/keys.py; a test compares the two.
local ALL = 'finops:schedules:all'
local DUE = 'finops:schedules:due'
local KEEP_MS = 34560000000   -- 400 days after the last firing or change
local LATE_MS = 2592000000    -- 30 days more than until the next firing

local function schedule_key(id) return 'finops:schedule:' .. id end
local function owner_key(owner) return 'finops:owner:' .. (owner == '' and '-' or owner) .. ':schedules' end

local function int(n) return string.format('%d', math.floor(n)) end
local function num(v) return tonumber(v or 0) or 0 end

local function now_ms()
  local t = redis.call('TIME')
  return num(t[1]) * 1000 + math.floor(num(t[2]) / 1000)
end

-- Refreshes the lifetime of a record and of its owner's list.
local function keep(id, now)
  local f = redis.call('HMGET', schedule_key(id), 'owner', 'next_ms')
  local ms = math.max(KEEP_MS, num(f[2]) - now + LATE_MS)
  redis.call('PEXPIRE', schedule_key(id), int(ms))
  local list = owner_key(f[1] or '')
  if redis.call('PTTL', list) < ms then redis.call('PEXPIRE', list, int(ms)) end
end

-- Sets the next firing, 0 for none, and when a turn at the schedule is due.
local function put_next(id, next_ms)
  redis.call('HSET', schedule_key(id), 'next_ms', int(next_ms))
  if next_ms > 0 then redis.call('ZADD', DUE, int(next_ms), id) else redis.call('ZREM', DUE, id) end
end

-- Removes the ids of expired schedules from a list.
local function prune(list)
  for _, id in ipairs(redis.call('ZRANGE', list, '0', '-1')) do
    if redis.call('EXISTS', schedule_key(id)) == 0 then redis.call('ZREM', list, id) end
  end
end
