#!lua
--!include prelude.lua
-- How limits stand, without passing them. Arguments: per limit kind, scope, window. Answers used, held and milliseconds
-- to the window's end per limit.
local now = now_ms()
sweep_holds(now)
local facts = {}
for at = 1, #ARGV, 3 do
  local m = read_meter(ARGV[at], ARGV[at + 1], ARGV[at + 2], now)
  facts[#facts + 1] = m.used
  facts[#facts + 1] = m.held
  facts[#facts + 1] = m.ends - now
end
return facts
