#!lua
--!include prelude.lua
-- Takes a turn at the provider's batch that waits longest. Argument: ms for which it is held. Answers {id, record, now},
-- false when none is due.
local FOLLOWED = 'finops:provider-batches'
local now = now_ms()
while true do
  local id = call('ZRANGEBYSCORE', FOLLOWED, '-inf', int(now), 'LIMIT', '0', '1')[1]
  if not id then return false end
  local key = 'finops:provider-batch:' .. id
  if call('EXISTS', key) == 1 then
    call('HINCRBY', key, 'turn', 1)
    call('ZADD', FOLLOWED, int(now + num(ARGV[1])), id)
    return {id, call('HGETALL', key), int(now)}
  end
  call('ZREM', FOLLOWED, id)
end
