#!lua flags=allow-oom
--!include prelude.lua
--!include operations.lua
-- Takes a turn at the open operation that waits longest. ARGV: ms for which it is held. Answers {id, record, jobs left, now},
-- false when none is due.
local now = now_ms()
while true do
  local id = redis.call('ZRANGEBYSCORE', OPEN_OPERATIONS, '-inf', int(now), 'LIMIT', '0', '1')[1]
  if not id then return false end
  if redis.call('EXISTS', operation_key(id)) == 1 then
    redis.call('HINCRBY', operation_key(id), 'turn', 1)
    redis.call('HINCRBY', operation_key(id), 'tries', 1)
    hold_operation(id, now, num(ARGV[1]))
    return {id, redis.call('HGETALL', operation_key(id)), redis.call('ZCARD', operation_jobs_key(id)), int(now)}
  end
  redis.call('ZREM', OPEN_OPERATIONS, id)
end
