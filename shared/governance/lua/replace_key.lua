#!lua
-- Replaces a virtual key's record, if it still is what the change was made of, and its value, if there is a new one.
-- Arguments: id, record as it was read ('' a configured key, which has none), new record, name of the new value's entry
-- ('' none), milliseconds for which the entries before it go on. Answers whether it did.
local id, was, record, fresh, grace = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local key, values = 'finops:key:' .. id, 'finops:key:' .. id .. ':values'
if was ~= '' then
  if redis.call('GET', key) ~= was then return 0 end
  redis.call('SET', key, record)
end
if fresh ~= '' then
  local function named(name) return 'finops:' .. string.sub(name, 8) end  -- with the hash tag of a cluster
  for _, name in ipairs(redis.call('SMEMBERS', values)) do
    if grace ~= '0' and redis.call('EXISTS', named(name)) == 1 then
      redis.call('PEXPIRE', named(name), grace, 'LT')
    else
      redis.call('DEL', named(name))
      redis.call('SREM', values, name)
    end
  end
  redis.call('SET', named(fresh), id)
  redis.call('SADD', values, fresh)
end
redis.call('PUBLISH', 'finops:keys:changed', id)
return 1
