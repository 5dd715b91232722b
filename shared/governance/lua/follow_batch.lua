#!lua
--!include prelude.lua
-- Follows a provider's batch until it is booked. Arguments: id, which is also that of its reservation, ms until the first
-- look, key of what callers see of it if it is to be rescued, else '', then fields. What is followed, and reserved, is given up after 9 days: a batch runs for one day at most.
local FOLLOW_MS = 777600000
local now = now_ms()
local fields = {}
for i = 4, #ARGV do fields[#fields + 1] = ARGV[i] end
local key = 'finops:provider-batch:' .. ARGV[1]
redis.call('HSET', key, 'v', '1', 'created_ms', int(now), unpack(fields))
redis.call('PEXPIRE', key, FOLLOW_MS)
redis.call('ZADD', 'finops:provider-batches', int(now + num(ARGV[2])), ARGV[1])
if ARGV[3] ~= '' then
  local view = 'finops:' .. string.sub(ARGV[3], 8)  -- with the hash tag that names in scripts have on a cluster
  redis.call('HSET', view, 'followed', ARGV[1], 'state', 'watched')
  redis.call('PEXPIRE', view, RUN_MS)
end
prolong_hold(ARGV[1], now + FOLLOW_MS, now)
return 1
