#!lua
--!include prelude.lua
-- Takes a turn at the provider's batch that waits longest. Argument: ms for which it is held. Answers {id, record, now},
-- false when none is due.
local FOLLOWED = 'finops:provider-batches'
local now = now_ms()
while true do
  local id = redis.call('ZRANGEBYSCORE', FOLLOWED, '-inf', int(now), 'LIMIT', '0', '1')[1]
  if not id then return false end
  local key = 'finops:provider-batch:' .. id
  if redis.call('EXISTS', key) == 1 then
    redis.call('HINCRBY', key, 'turn', 1)
    redis.call('ZADD', FOLLOWED, int(now + num(ARGV[1])), id)
    return {id, redis.call('HGETALL', key), int(now)}
  end
  redis.call('ZREM', FOLLOWED, id)
end
