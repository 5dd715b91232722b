#!lua
--!include prelude.lua
-- Ends the rescue of a provider's batch, because its caller cancels it. Arguments: key of what callers see, id.
if call('EXISTS', ARGV[1]) == 0 then return 0 end
call('HSET', ARGV[1], 'stopped', '1')
call('ZADD', 'finops:provider-batches', 'XX', int(now_ms()), ARGV[2])
return 1
