#!lua flags=allow-oom
--!include prelude.lua
-- Books lines of a provider's batch, once. Arguments: id, number of the turn, lines booked before, and after, cost and
-- tokens of these lines, ms until the next look, 'settle' or 'close', then their ledger entries. With the last ones the
-- reservation is settled to what all lines cost; after 'settle' the batch is followed on, for its rescue. Answers 1, or 0 when another turn has been taken since.
local FOLLOWED = 'finops:provider-batches'
local key = 'finops:provider-batch:' .. ARGV[1]
local f = redis.call('HMGET', key, 'turn', 'lines')
if f[1] ~= ARGV[2] or num(f[2]) ~= num(ARGV[3]) then return 0 end
local now = now_ms()
local books = open_books()
for at = 8, #ARGV do settle_outcome('', 'settled', ARGV[at], now, books) end
close_books(books, now)
redis.call('HSET', key, 'lines', ARGV[4])
local cost = redis.call('HINCRBY', key, 'booked_cost', ARGV[5])
local tokens = redis.call('HINCRBY', key, 'booked_tokens', ARGV[6])
if ARGV[7] == 'close' then
  end_hold(ARGV[1], 'settled', cost, tokens, now)
  redis.call('DEL', key)
  redis.call('ZREM', FOLLOWED, ARGV[1])
elseif ARGV[7] == 'settle' then
  end_hold(ARGV[1], 'settled', cost, tokens, now)
  redis.call('HSET', key, 'ended', '1')
  redis.call('ZADD', FOLLOWED, 'XX', int(now), ARGV[1])
else
  redis.call('ZADD', FOLLOWED, 'XX', int(now + num(ARGV[7])), ARGV[1])
end
return 1
