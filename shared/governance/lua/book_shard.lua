#!lua flags=allow-oom
--!include prelude.lua
-- Books what the jobs of another shard have changed, in order and each entry once. Arguments: shard, then per entry of its
-- stream: id, kind, hold, value and ledger entry (shared/governance/bookings/lua/books.lua). The id of the last one is
-- kept; entries up to it were booked before, and are only waiting to be trimmed. Answers how many were new.
local BOOKED = 'finops:shards:booked'

local function is_after(id, last)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  local last_ms, last_n = string.match(last or '0-0', '^(%d+)-(%d+)$')
  if num(ms) ~= num(last_ms) then return num(ms) > num(last_ms) end
  return num(n) > num(last_n)
end

local shard, last, booked = ARGV[1], redis.call('HGET', BOOKED, ARGV[1]), 0
local now = now_ms()
sweep_holds(now)
local books = open_books()
for at = 2, #ARGV, 5 do
  local id, kind, hold, value, json = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  if is_after(id, last) then
    if kind == 'settle' then
      settle_outcome(hold, value, json, now, books)
    elseif kind == 'keep' then
      keep_hold(hold, num(value))
    elseif kind == 'prolong' then
      prolong_hold(hold, num(value), now)
    else
      reopen_hold(hold)
    end
    last, booked = id, booked + 1
  end
end
close_books(books, now)
if booked > 0 then redis.call('HSET', BOOKED, shard, last) end
return booked
