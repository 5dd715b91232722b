#!lua flags=allow-oom
--!include prelude.lua
-- Books a batch of outcomes. Arguments: writer, number of the batch, clock ('' the server's own), then per outcome: hold
-- ('' without), 'settled' or 'released', and its ledger entry ('' without), which says what it cost. A batch that is sent
-- again, because its answer was lost, is not booked again: a writer sends one at a time. Answers how many were booked.
local writer, batch = 'finops:writer:' .. ARGV[1], num(ARGV[2])
local now = ARGV[3] ~= '' and num(ARGV[3]) or now_ms()
if num(redis.call('GET', writer)) >= batch then return 0 end
redis.call('SET', writer, int(batch), 'PX', '3600000')
sweep_holds(now)
local books = open_books()
for at = 4, #ARGV, 3 do settle_outcome(ARGV[at], ARGV[at + 1], ARGV[at + 2], now, books) end
close_books(books, now)
return (#ARGV - 3) / 3
