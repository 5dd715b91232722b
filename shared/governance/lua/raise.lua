#!lua
--!include prelude.lua
-- Raises a budget for a time, in place of an earlier raise of it. Arguments: the limit's id, what is stored ('<micro-USD>
-- <until, ms> <reason>'), until when (ms). Raises that are over are removed; answers 1, or 0 when that time is over.
local now, last = now_ms(), num(ARGV[3])
if last <= now then return 0 end
local f = redis.call('HGETALL', RAISES)
for i = 1, #f, 2 do
  local until_ms = num(string.match(f[i + 1], '^%d+ (%d+) '))
  if until_ms <= now then redis.call('HDEL', RAISES, f[i]) elseif until_ms > last then last = until_ms end
end
redis.call('HSET', RAISES, ARGV[1], ARGV[2])
redis.call('PEXPIREAT', RAISES, int(last))
return 1
