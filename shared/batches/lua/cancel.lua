#!lua flags=allow-oom
--!include prelude.lua
-- Marks a batch for cancellation, which its next turn completes. Answers its record, false when there is none.
local key = batch_key(ARGV[1])
local status = redis.call('HGET', key, 'status')
if not status then return false end
if status == 'validating' or status == 'in_progress' or status == 'finalizing' then
  redis.call('HSET', key, 'status', 'cancelling', 'cancelling_s', int(now_ms() / 1000))
end
return redis.call('HGETALL', key)
