#!lua
--!include prelude.lua
-- Takes a turn at the batch that waits longest. ARGV: ms for which it is held. Answers {id, record, now in s}, false when
-- none is due.
local now = now_ms()
while true do
  local id = call('ZRANGEBYSCORE', OPEN, '-inf', int(now), 'LIMIT', '0', '1')[1]
  if not id then return false end
  if call('EXISTS', batch_key(id)) == 1 then
    call('HINCRBY', batch_key(id), 'turn', 1)
    call('HINCRBY', batch_key(id), 'tries', 1)
    call('PEXPIRE', batch_key(id), LIVE_MS)
    hold(id, now, num(ARGV[1]))
    return {id, call('HGETALL', batch_key(id)), int(now / 1000)}
  end
  call('ZREM', OPEN, id)
end
