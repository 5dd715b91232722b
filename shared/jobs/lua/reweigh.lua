#!lua
--!include prelude.lua
-- Changes weight and limit of a caller, for its waiting and future jobs. ARGV: caller, weight, limit. A caller without
-- jobs gets them with its next submit. Answers whether there was such a caller.
local name = ARGV[1]
if redis.call('EXISTS', caller_key(name)) == 0 then return 0 end
local c = caller_of(name)
c.weight, c.limit = num(ARGV[2]), num(ARGV[3])
settle()
return 1
