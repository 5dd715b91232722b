#!lua
--!include prelude.lua
-- Notes how far the rescue of a provider's batch has come. Arguments: id, number of the turn, ms until the next look, key
-- of what callers see, its state ('' to show them the provider's batch), the changes that they see at the end in JSON or
-- '', then fields of the record. Answers 1, or 0 when another turn has been taken since.
local key = 'finops:provider-batch:' .. ARGV[1]
if redis.call('HGET', key, 'turn') ~= ARGV[2] then return 0 end
local fields = {}
for i = 7, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('HSET', key, unpack(fields))
local view = 'finops:' .. string.sub(ARGV[4], 8)  -- with the hash tag that names in scripts have on a cluster
if ARGV[5] == '' then
  redis.call('DEL', view)
else
  redis.call('HSET', view, 'followed', ARGV[1], 'state', ARGV[5], 'final', ARGV[6])
  redis.call('PEXPIRE', view, RUN_MS)
end
redis.call('ZADD', 'finops:provider-batches', 'XX', int(now_ms() + num(ARGV[3])), ARGV[1])
return 1
