#!lua
--!include prelude.lua
--!include operations.lua
-- Adds jobs that match to an operation. ARGV: id, turn, ms for which it is held, '1' if these are the last, the state of the
-- scan, then creation and id of each job. Answers 1, or 0 when the turn is lost.
local id = ARGV[1]
if not holds_operation(id, ARGV[2]) then return 0 end
local now = now_ms()
local jobs = operation_jobs_key(id)
for i = 6, #ARGV, 2 do redis.call('ZADD', jobs, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', operation_key(id), 'scan', ARGV[5], 'matched', redis.call('ZCARD', jobs), 'tries', '0')
if ARGV[4] == '1' then redis.call('HSET', operation_key(id), 'counted', '1', 'status', 'running', 'started_ms', int(now)) end
hold_operation(id, now, num(ARGV[3]))
return 1
