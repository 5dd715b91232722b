#!lua flags=allow-oom
--!include prelude.lua
-- What operators and autoscalers look at: per lane depth of what is due and its oldest age in ms; deferred, running,
-- dead; and who waits with how many.
local now = now_ms()
local lanes = {}
for _, lane in ipairs(LANES) do
  local oldest = call('ZRANGE', QUEUE[lane], '0', '0', 'WITHSCORES')
  local age = oldest[2] and math.max(0, now - num(oldest[2])) or 0
  lanes[#lanes + 1] = {lane, call('ZCOUNT', QUEUE[lane], '-inf', int(now)), int(age)}
end
return {lanes, call('ZCARD', DEFERRED), call('ZCARD', LEASES), call('ZCARD', DEAD),
  call('ZREVRANGE', WAITING, '0', '999', 'WITHSCORES')}
