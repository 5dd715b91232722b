#!lua flags=allow-oom
--!include prelude.lua
-- Prolongs the holds of calls that are still under way. Arguments: how long (ms), then their ids.
local now = now_ms()
for i = 2, #ARGV do
  call('ZADD', HOLDS, 'XX', int(now + num(ARGV[1])), ARGV[i])
  call('PEXPIRE', hold_key(ARGV[i]), int(num(ARGV[1]) + ENDED_MS))
end
return 1
