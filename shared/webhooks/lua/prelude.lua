-- Shared by all scripts of webhook deliveries. Key names repeat shared/webhooks/keys.py; a test compares the two.
local DUE = 'finops:deliveries:due'
local LEASES = 'finops:deliveries:leases'
local COUNTS = 'finops:deliveries:counts'
local CLOCK = 'finops:deliveries:clock'
local DISABLED = 'finops:deliveries:disabled'
local ALL = 'finops:deliveries:all'
local ALERTS = 'finops:alerts'
local LIVE_MS = 604800000        -- pending deliveries: 7 days, more than they are retried for
local ENDPOINT_MS = 2592000000   -- an endpoint without events is forgotten after 30 days
local MAX_LISTED = 100000
local MAX_ATTEMPTS_LISTED = 50
local TRIP = 5                   -- consecutive failures that open an endpoint's circuit
local FIRST_OPEN_MS = 5000
local MAX_OPEN_MS = 300000

local function delivery_key(id) return 'finops:delivery:' .. id end
local function attempts_key(id) return 'finops:delivery:' .. id .. ':attempts' end
local function endpoint_key(endpoint) return 'finops:endpoint:' .. endpoint end
local function waiting_key(endpoint) return 'finops:endpoint:' .. endpoint .. ':waiting' end
local function status_key(status) return 'finops:deliveries:status:' .. status end
local function webhook_key(webhook) return 'finops:deliveries:webhook:' .. webhook end
local function event_key(event) return 'finops:deliveries:event:' .. event end
local function job_key(job) return 'finops:deliveries:job:' .. job end

local function int(n) return string.format('%d', math.floor(n)) end
local function num(v) return tonumber(v or 0) or 0 end

local function now_ms()
  local t = redis.call('TIME')
  return num(t[1]) * 1000 + math.floor(num(t[2]) / 1000)
end

-- Counters of attempts in flight (`e:<endpoint>`, `g:<group>`) and of pending deliveries (`p:<group>`); absent: 0.
local function count(name) return num(redis.call('HGET', COUNTS, name)) end
local function add_count(name, by)
  if redis.call('HINCRBY', COUNTS, name, by) <= 0 then redis.call('HDEL', COUNTS, name) end
end

-- An endpoint is listed in DUE exactly while it has waiting deliveries and no full set of attempts in flight.
local function schedule(endpoint, earliest)
  local first = redis.call('ZRANGE', waiting_key(endpoint), 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', DUE, endpoint)
    return
  end
  redis.call('ZADD', DUE, string.format('%.3f', math.max(num(first[2]), earliest)), endpoint)
end

local function wait_until(id, endpoint, due)
  redis.call('ZADD', waiting_key(endpoint), int(due), id)
  redis.call('PEXPIRE', waiting_key(endpoint), ENDPOINT_MS)
end

-- Drops the oldest ids of a list whose records have expired: two for each one added keep it as long as its records.
local function prune(list)
  for _, id in ipairs(redis.call('ZRANGE', list, 0, 1)) do
    if redis.call('EXISTS', delivery_key(id)) == 0 then redis.call('ZREM', list, id) end
  end
  redis.call('ZREMRANGEBYRANK', list, 0, -1 - MAX_LISTED)
end

local function list_as(id, status, seq)
  redis.call('ZADD', status_key(status), seq, id)
  prune(status_key(status))
end

local function expire(id, ms)
  redis.call('PEXPIRE', delivery_key(id), ms)
  redis.call('PEXPIRE', attempts_key(id), ms)
end

-- Ends a pending delivery; it has no lease.
local function conclude(id, status, now, keep_ms, reason)
  local f = redis.call('HMGET', delivery_key(id), 'seq', 'group', 'endpoint')
  redis.call('HSET', delivery_key(id), 'status', status, 'ended_ms', int(now), 'reason', reason, 'token', '')
  redis.call('ZREM', waiting_key(f[3]), id)
  redis.call('ZREM', status_key('pending'), id)
  list_as(id, status, f[1])
  add_count('p:' .. f[2], -1)
  expire(id, int(keep_ms))
end

-- Takes the lease away: the attempt is over, or its worker is gone.
local function unlease(id, endpoint, group)
  redis.call('ZREM', LEASES, id)
  redis.call('HSET', delivery_key(id), 'token', '')
  add_count('e:' .. endpoint, -1)
  add_count('g:' .. group, -1)
end
