#!lua
--!include prelude.lua
-- Leases due deliveries, one endpoint after the other in turn. ARGV: most, lease_ms, per_endpoint, per_group, retry_for_ms,
-- keep_ms. Answers {claims, next_ms, pending, disabled}; a claim is {id, token, webhook, url, owner, event_id, body, age_ms}.
local most, lease_ms, per_endpoint, per_group = num(ARGV[1]), num(ARGV[2]), num(ARGV[3]), num(ARGV[4])
local retry_for_ms, keep_ms = num(ARGV[5]), num(ARGV[6])
local LOOK, BUSY_MS = 256, 250
local now = now_ms()

for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', int(now), 'LIMIT', 0, 100)) do
  local f = redis.call('HMGET', delivery_key(id), 'endpoint', 'group')
  if f[1] then
    unlease(id, f[1], f[2])
    wait_until(id, f[1], now)
    schedule(f[1], now)
  else
    redis.call('ZREM', LEASES, id)
  end
end

local claims = {}
local function lease(id, endpoint, group, r)
  local token = redis.call('HINCRBY', CLOCK, 'token', 1)
  redis.call('HSET', delivery_key(id), 'token', token)
  redis.call('ZADD', LEASES, int(now + lease_ms), id)
  redis.call('ZREM', waiting_key(endpoint), id)
  add_count('e:' .. endpoint, 1)
  add_count('g:' .. group, 1)
  claims[#claims + 1] = {id, tostring(token), r[1], r[2], r[3], r[4], r[5], int(now - num(r[6]))}
end

-- Serves the first delivery of an endpoint; answers when to look at the endpoint again, nil: when an attempt has ended.
local function serve(endpoint, turn)
  local e = redis.call('HMGET', endpoint_key(endpoint), 'group', 'failures', 'open_until_ms', 'disabled_ms')
  local first = redis.call('ZRANGE', waiting_key(endpoint), 0, 0, 'WITHSCORES')
  if not first[1] then return turn end
  local id, group = first[1], e[1] or ''
  local due = math.max(num(first[2]), num(e[3]))
  if due > now then return due end
  if count('e:' .. endpoint) >= (num(e[2]) >= TRIP and 1 or per_endpoint) then return nil end
  local r = redis.call('HMGET', delivery_key(id), 'webhook', 'url', 'owner', 'event_id', 'body', 'from_ms', 'manual')
  if not r[6] then
    redis.call('ZREM', waiting_key(endpoint), id)
    add_count('p:' .. group, -1)
  elseif num(e[4]) > 0 and r[7] ~= '1' then
    conclude(id, 'failed', now, keep_ms, 'endpoint_disabled')
  elseif now - num(r[6]) > retry_for_ms then
    conclude(id, 'failed', now, keep_ms, 'given_up')
  elseif count('g:' .. group) >= per_group then
    return now + BUSY_MS
  else
    lease(id, endpoint, group, r)
  end
  return turn
end

local looked = 0
while #claims < most and looked < LOOK do
  local row = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
  if not row[1] or num(row[2]) > now + 1 then break end
  looked = looked + 1
  local again = serve(row[1], now + looked / 1000)
  if again then schedule(row[1], again) else redis.call('ZREM', DUE, row[1]) end
end

local next_due = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
local next_ms = next_due[1] and math.max(0, num(next_due[2]) - now) or 60000
return {claims, int(next_ms), redis.call('ZCARD', status_key('pending')), redis.call('ZCARD', DISABLED)}
