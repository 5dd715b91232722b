#!lua flags=allow-oom
--!include prelude.lua
--!include operations.lua
-- Cancels an open operation; what it has done stays done. ARGV: id. Answers the record, false when there is none.
local id = ARGV[1]
local status = redis.call('HGET', operation_key(id), 'status')
if not status then return false end
if status == 'queued' or status == 'running' then end_operation(id, now_ms(), 'cancelled', 'skipped') end
return redis.call('HGETALL', operation_key(id))
