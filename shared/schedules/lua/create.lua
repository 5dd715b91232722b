#!lua
--!include prelude.lua
-- Stores a new schedule. ARGV: id, owner, most schedules of an owner, most of all, the next firing, then fields. Answers
-- 'own' or 'all' where there are too many, else the record; the same id again changes nothing.
local id, owner = ARGV[1], ARGV[2]
if redis.call('EXISTS', schedule_key(id)) == 1 then return redis.call('HGETALL', schedule_key(id)) end
local now = now_ms()
local list = owner_key(owner)
for _, bound in ipairs({{list, num(ARGV[3]), 'own'}, {ALL, num(ARGV[4]), 'all'}}) do
  if redis.call('ZCARD', bound[1]) >= bound[2] then
    prune(bound[1])
    if redis.call('ZCARD', bound[1]) >= bound[2] then return bound[3] end
  end
end
local t = redis.call('TIME')
local created_us = num(t[1]) * 1000000 + num(t[2])
redis.call('HSET', schedule_key(id), 'v', '1', 'owner', owner, 'status', 'active', 'created_ms', int(now), 'updated_ms',
  int(now), 'turn', '0')
for i = 6, #ARGV, 2 do redis.call('HSET', schedule_key(id), ARGV[i], ARGV[i + 1]) end
redis.call('ZADD', ALL, int(created_us), id)
redis.call('ZADD', list, int(created_us), id)
put_next(id, num(ARGV[5]))
keep(id, now)
return redis.call('HGETALL', schedule_key(id))
