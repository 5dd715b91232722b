#!lua
--!include prelude.lua
--!include gathering.lua
-- Takes a turn at the gathered batch that is due first; an open one is closed. ARGV: ms for which it is held. Answers
-- {id, record, now}, or the ms until one is due, -1 when there is none.
local now = now_ms()
while true do
  local due = redis.call('ZRANGE', GATHERING, '0', '0', 'WITHSCORES')
  local id = due[1]
  if not id then return -1 end
  if num(due[2]) > now then return math.ceil(num(due[2]) - now) end
  local f = redis.call('HMGET', gathered_key(id), 'state', 'group')
  if f[1] then
    if f[1] == 'open' then
      redis.call('HSET', gathered_key(id), 'state', 'closed')
      if redis.call('GET', group_pointer(f[2])) == id then redis.call('DEL', group_pointer(f[2])) end
    end
    redis.call('HINCRBY', gathered_key(id), 'turn', 1)
    redis.call('ZADD', GATHERING, int(now + num(ARGV[1])), id)
    return {id, redis.call('HGETALL', gathered_key(id)), int(now)}
  end
  redis.call('ZREM', GATHERING, id)
end
