#!lua flags=allow-oom
--!include prelude.lua
-- Prolongs the holds of calls that are still under way. Arguments: how long (ms), then their ids.
local now = now_ms()
for i = 2, #ARGV do prolong_hold(ARGV[i], now + num(ARGV[1]), now) end
return 1
