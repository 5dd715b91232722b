#!lua
--!include prelude.lua
-- Writes fields during a turn. ARGV: id, turn, ms until another turn may be taken, the status that it must still
-- have ('' for any), then fields; of `stamp` the value is a field that gets the time. Answers 'done', 'moved' when the
-- status is another one, 'lost' when the turn is over.
local id, turn = ARGV[1], ARGV[2]
if not holds(id, turn) then return 'lost' end
local now = now_ms()
hold(id, now, num(ARGV[3]))
if ARGV[4] ~= '' and redis.call('HGET', batch_key(id), 'status') ~= ARGV[4] then return 'moved' end
for i = 5, #ARGV, 2 do
  if ARGV[i] == 'stamp' then
    redis.call('HSET', batch_key(id), ARGV[i + 1], int(now / 1000))
  else
    redis.call('HSET', batch_key(id), ARGV[i], ARGV[i + 1])
  end
end
return 'done'
