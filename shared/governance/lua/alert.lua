#!lua
--!include prelude.lua
-- Tells something once. Arguments: what it is told once by, until when that is remembered (ms since 1970), then names and
-- values of the alert. Answers 1, or 0 when it was told before.
local fields = {}
for i = 3, #ARGV do fields[#fields + 1] = ARGV[i] end
return alert_once(ARGV[1], num(ARGV[2]), fields) and 1 or 0
