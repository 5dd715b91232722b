#!lua
--!include prelude.lua
-- Gives a caller another weight and limit, for its next jobs and those that wait. Arguments: caller, weight, limit. A caller
-- without jobs gets them with its next one. Answers whether there was one.
local name = ARGV[1]
if call('EXISTS', caller_key(name)) == 0 then return 0 end
local c = caller_of(name)
c.weight, c.limit = num(ARGV[2]), num(ARGV[3])
settle()
return 1
