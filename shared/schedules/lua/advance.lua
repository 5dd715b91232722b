#!lua
--!include prelude.lua
-- Ends a turn. ARGV: id, turn, the next firing (0: none; '': as it was), ms until the next turn where it is as it was,
-- firings that became jobs, firings that were skipped, then fields. Answers 1, or 0 when the turn was lost.
local id = ARGV[1]
if redis.call('HGET', schedule_key(id), 'turn') ~= ARGV[2] then return 0 end
local now = now_ms()
redis.call('HINCRBY', schedule_key(id), 'turn', 1)
if ARGV[3] == '' then
  redis.call('ZADD', DUE, 'XX', int(now + num(ARGV[4])), id)
else
  redis.call('HSET', schedule_key(id), 'tries', '0')
  put_next(id, num(ARGV[3]))
end
if ARGV[5] ~= '0' then redis.call('HINCRBY', schedule_key(id), 'fired', ARGV[5]) end
if ARGV[6] ~= '0' then redis.call('HINCRBY', schedule_key(id), 'skipped', ARGV[6]) end
for i = 7, #ARGV, 2 do redis.call('HSET', schedule_key(id), ARGV[i], ARGV[i + 1]) end
keep(id, now)
return 1
