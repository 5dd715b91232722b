#!lua
--!include prelude.lua
-- Sends an event again, at once and with a new time to retry for. ARGV: id. Answers 1, or 0 when there is none.
local id = ARGV[1]
local f = redis.call('HMGET', delivery_key(id), 'status', 'endpoint', 'group', 'seq', 'token')
if not f[1] then return 0 end
local now, endpoint = now_ms(), f[2]
redis.call('HSET', delivery_key(id), 'from_ms', int(now), 'manual', '1')
redis.call('HSET', endpoint_key(endpoint), 'group', f[3], 'open_until_ms', '0')
redis.call('PEXPIRE', endpoint_key(endpoint), ENDPOINT_MS)
if f[1] ~= 'pending' then
  redis.call('HSET', delivery_key(id), 'status', 'pending', 'reason', '')
  redis.call('ZREM', status_key(f[1]), id)
  list_as(id, 'pending', f[4])
  add_count('p:' .. f[3], 1)
end
expire(id, int(LIVE_MS))
if f[5] == '' then
  wait_until(id, endpoint, 0)  -- first of its endpoint's
  schedule(endpoint, now)
end
return 1
