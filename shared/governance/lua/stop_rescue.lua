#!lua
--!include prelude.lua
-- Ends the rescue of a provider's batch, because its caller cancels it. Arguments: key of what callers see, id.
local view = 'finops:' .. string.sub(ARGV[1], 8)  -- with the hash tag that names in scripts have on a cluster
if redis.call('EXISTS', view) == 0 then return 0 end
redis.call('HSET', view, 'stopped', '1')
redis.call('ZADD', 'finops:provider-batches', 'XX', int(now_ms()), ARGV[2])
return 1
