#!lua
--!include prelude.lua
-- Takes a turn at the schedule that is due first. ARGV: ms for which it is held. Answers {id, record, now}, or the ms until
-- one is due, -1 when there is none.
local now = now_ms()
while true do
  local due = redis.call('ZRANGE', DUE, '0', '0', 'WITHSCORES')
  local id = due[1]
  if not id then return -1 end
  if num(due[2]) > now then return math.ceil(num(due[2]) - now) end
  if redis.call('EXISTS', schedule_key(id)) == 1 then
    redis.call('HINCRBY', schedule_key(id), 'turn', 1)
    redis.call('HINCRBY', schedule_key(id), 'tries', 1)
    redis.call('ZADD', DUE, int(now + num(ARGV[1])), id)
    return {id, redis.call('HGETALL', schedule_key(id)), int(now)}
  end
  redis.call('ZREM', DUE, id)
end
