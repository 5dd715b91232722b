#!lua flags=allow-oom
--!include prelude.lua
--!include pauses.lua
-- Begins, changes or ends a pause: from here on no claim takes its jobs. ARGV: scope, its JSON ('': it ends), most pauses.
-- Answers 1, 0 when there was none to end, or -1 when there are too many.
local scope, pause, most = ARGV[1], ARGV[2], num(ARGV[3])
if pause == '' then return end_pause(scope) end
if redis.call('HEXISTS', PAUSES, scope) == 0 and redis.call('HLEN', PAUSES) >= most then return -1 end
redis.call('HSET', PAUSES, scope, pause)
redis.call('HSET', CLOCK, 'pauses', '1')
return 1
