#!lua flags=allow-oom
--!include prelude.lua
-- Books a batch of outcomes. Arguments: writer, number of the batch, clock ('' the server's own), then per outcome: hold
-- ('' without), 'settled' or 'released', real cost, real tokens, ledger entry ('' without). A batch that is sent again,
-- because its answer was lost, is not booked again: a writer sends one at a time. Answers how many were booked.
local writer, batch = 'finops:writer:' .. ARGV[1], num(ARGV[2])
local now = ARGV[3] ~= '' and num(ARGV[3]) or now_ms()
if num(call('GET', writer)) >= batch then return 0 end
call('SET', writer, int(batch), 'PX', '3600000')
for at = 4, #ARGV, 5 do
  if ARGV[at] ~= '' then end_hold(ARGV[at], ARGV[at + 1], num(ARGV[at + 2]), num(ARGV[at + 3]), now) end
  if ARGV[at + 4] ~= '' then book(ARGV[at + 4], now) end
end
return (#ARGV - 3) / 5
