#!lua
--!include prelude.lua
-- Takes a turn at the batch that waits longest. ARGV: ms for which it is held. Answers {id, record, now in s}, false when
-- none is due.
local now = now_ms()
while true do
  local id = redis.call('ZRANGEBYSCORE', OPEN, '-inf', int(now), 'LIMIT', '0', '1')[1]
  if not id then return false end
  if redis.call('EXISTS', batch_key(id)) == 1 then
    redis.call('HINCRBY', batch_key(id), 'turn', 1)
    redis.call('HINCRBY', batch_key(id), 'tries', 1)
    redis.call('PEXPIRE', batch_key(id), LIVE_MS)
    hold(id, now, num(ARGV[1]))
    return {id, redis.call('HGETALL', batch_key(id)), int(now / 1000)}
  end
  redis.call('ZREM', OPEN, id)
end
