#!lua
-- Counts one answer in a day's histogram. ARGV: key of the day's set, name of lane and model, key of the histogram, bucket,
-- lifetime in seconds, most names, how many answers. Answers 1, or 0 when the day has too many names.
local function tagged(name) return 'finops:' .. string.sub(name, 8) end  -- with the hash tag of a cluster
local index, name, key = tagged(ARGV[1]), ARGV[2], tagged(ARGV[3])
if redis.call('SISMEMBER', index, name) == 0 then
  if redis.call('SCARD', index) >= tonumber(ARGV[6]) then return 0 end
  redis.call('SADD', index, name)
  redis.call('EXPIRE', index, ARGV[5])
end
redis.call('HINCRBY', key, ARGV[4], ARGV[7])
redis.call('EXPIRE', key, ARGV[5])
return 1
