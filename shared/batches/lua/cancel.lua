#!lua flags=allow-oom
--!include prelude.lua
-- Asks for the end of a batch; whoever has its next turn sees to it. Answers its record, false when there is none.
local key = batch_key(ARGV[1])
local status = call('HGET', key, 'status')
if not status then return false end
if status == 'validating' or status == 'in_progress' or status == 'finalizing' then
  call('HSET', key, 'status', 'cancelling', 'cancelling_s', int(now_ms() / 1000))
end
return call('HGETALL', key)
