#!lua
--!include prelude.lua
--!include operations.lua
-- Stores a bulk operation. ARGV: id, maker, most open ones of a maker, most of all, then fields. Answers 'own' or 'all' where
-- there are too many, else the record; the same id again changes nothing.
local id, maker = ARGV[1], ARGV[2]
if redis.call('EXISTS', operation_key(id)) == 0 then
  if redis.call('ZCARD', OPEN_OPERATIONS) >= num(ARGV[4]) then return 'all' end
  local own = open_key(maker)
  for _, other in ipairs(redis.call('ZRANGE', own, '0', '-1')) do
    if not redis.call('ZSCORE', OPEN_OPERATIONS, other) then redis.call('ZREM', own, other) end
  end
  if redis.call('ZCARD', own) >= num(ARGV[3]) then return 'own' end
  local now = now_ms()
  redis.call('HSET', operation_key(id), 'v', '1', 'maker', maker, 'status', 'queued', 'created_ms', int(now), 'turn', '0', 'tries', '0')
  for i = 5, #ARGV, 2 do redis.call('HSET', operation_key(id), ARGV[i], ARGV[i + 1]) end
  redis.call('ZADD', OPEN_OPERATIONS, int(now), id)
  redis.call('ZADD', own, int(now), id)
  redis.call('PEXPIRE', own, OPERATION_MS)
  redis.call('PEXPIRE', operation_key(id), OPERATION_MS)
end
return redis.call('HGETALL', operation_key(id))
