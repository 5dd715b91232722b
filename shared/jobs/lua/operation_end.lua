#!lua flags=allow-oom
--!include prelude.lua
--!include operations.lua
-- Ends a turn. ARGV: id, turn, ms until the next one, the status that the operation ends with ('' if it goes on), an error
-- ('' for none), '1' if the turn has failed. Answers 1, or 0 when the turn was lost.
local id = ARGV[1]
if not holds_operation(id, ARGV[2]) then return 0 end
local now = now_ms()
if ARGV[5] ~= '' then redis.call('HSET', operation_key(id), 'error', ARGV[5]) end
if ARGV[4] == '' then
  redis.call('HINCRBY', operation_key(id), 'turn', 1)
  if ARGV[6] ~= '1' then redis.call('HSET', operation_key(id), 'tries', '0') end
  hold_operation(id, now, num(ARGV[3]))
else
  end_operation(id, now, ARGV[4], 'failed')
end
return 1
