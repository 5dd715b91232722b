#!lua
--!include prelude.lua
--!include operations.lua
-- Stores a bulk operation. ARGV: id, maker, most open ones of a maker, most of all, then fields. Answers 'own' or 'all' where
-- there are too many, else the record; the same id again changes nothing.
local id, maker = ARGV[1], ARGV[2]
if call('EXISTS', operation_key(id)) == 0 then
  if call('ZCARD', OPEN_OPERATIONS) >= num(ARGV[4]) then return 'all' end
  local own = open_key(maker)
  for _, other in ipairs(call('ZRANGE', own, '0', '-1')) do
    if not call('ZSCORE', OPEN_OPERATIONS, other) then call('ZREM', own, other) end
  end
  if call('ZCARD', own) >= num(ARGV[3]) then return 'own' end
  local now = now_ms()
  call('HSET', operation_key(id), 'v', '1', 'maker', maker, 'status', 'queued', 'created_ms', int(now), 'turn', '0', 'tries', '0')
  for i = 5, #ARGV, 2 do call('HSET', operation_key(id), ARGV[i], ARGV[i + 1]) end
  call('ZADD', OPEN_OPERATIONS, int(now), id)
  call('ZADD', own, int(now), id)
  call('PEXPIRE', own, OPERATION_MS)
  call('PEXPIRE', operation_key(id), OPERATION_MS)
end
return call('HGETALL', operation_key(id))
