#!lua
--!include prelude.lua
-- Changes a schedule; a turn at it that was taken before is lost. ARGV: id, the next firing (0: none), then fields.
-- Answers the record, false when there is none.
local id = ARGV[1]
if redis.call('EXISTS', schedule_key(id)) == 0 then return false end
local now = now_ms()
redis.call('HINCRBY', schedule_key(id), 'turn', 1)
redis.call('HSET', schedule_key(id), 'updated_ms', int(now), 'tries', '0')
for i = 3, #ARGV, 2 do redis.call('HSET', schedule_key(id), ARGV[i], ARGV[i + 1]) end
put_next(id, num(ARGV[2]))
keep(id, now)
return redis.call('HGETALL', schedule_key(id))
