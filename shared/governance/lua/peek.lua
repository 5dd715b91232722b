#!lua
--!include prelude.lua
-- How limits stand, without passing them. Arguments: per limit kind, scope, window, amount. Answers used, held,
-- milliseconds to the window's end and the amount that binds per limit.
local now = now_ms()
sweep_holds(now)
local facts = {}
for at = 1, #ARGV, 4 do
  local m = read_meter(ARGV[at], ARGV[at + 1], ARGV[at + 2], num(ARGV[at + 3]), now)
  facts[#facts + 1] = m.used
  facts[#facts + 1] = m.held
  facts[#facts + 1] = m.ends - now
  facts[#facts + 1] = m.limit
end
return facts
