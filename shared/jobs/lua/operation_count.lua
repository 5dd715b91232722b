#!lua flags=allow-oom
--!include prelude.lua
--!include operations.lua
-- Counts jobs of an operation that could not be retried. ARGV: id, turn, ms for which it is held, then id, result (skipped
-- or failed) and error of each. Answers 1, or 0 when the turn is lost.
local operation = ARGV[1]
if not holds_operation(operation, ARGV[2]) then return 0 end
for i = 4, #ARGV, 3 do
  if count_job(operation, ARGV[i], ARGV[i + 1], 0) and ARGV[i + 2] ~= '' then
    redis.call('HSET', operation_key(operation), 'error', ARGV[i + 2])
  end
end
redis.call('HSET', operation_key(operation), 'tries', '0')
hold_operation(operation, now_ms(), num(ARGV[3]))
return 1
