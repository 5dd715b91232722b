#!lua
-- Adds one comparison to the evidence of a family. KEYS: its hash.
-- ARGV: similarity in hundredths, 1 if the answers agreed, life in s, comparisons after which all counts are halved, model, scope.
local EVIDENCE = KEYS[1]
local seen = redis.call('HINCRBY', EVIDENCE, 'total', 1)
redis.call('HINCRBY', EVIDENCE, 'seen:' .. ARGV[1], 1)
if ARGV[2] == '0' then redis.call('HINCRBY', EVIDENCE, 'wrong:' .. ARGV[1], 1) end
redis.call('HSET', EVIDENCE, 'model', ARGV[5], 'scope', ARGV[6])
redis.call('EXPIRE', EVIDENCE, ARGV[3])
if seen >= tonumber(ARGV[4]) then
  -- What was true long ago weighs less and less, so that a change is soon seen.
  local fields = redis.call('HGETALL', EVIDENCE)
  for i = 1, #fields, 2 do
    local count = tonumber(fields[i + 1])
    if count and fields[i] ~= 'model' and fields[i] ~= 'scope' then
      redis.call('HSET', EVIDENCE, fields[i], math.floor(count / 2))
    end
  end
end
return redis.call('HGETALL', EVIDENCE)
