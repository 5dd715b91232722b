#!lua flags=allow-oom
-- Removes a virtual key with all its values. Argument: id. Answers whether there was one.
local id = ARGV[1]
local values = 'finops:key:' .. id .. ':values'
for _, name in ipairs(redis.call('SMEMBERS', values)) do
  redis.call('DEL', 'finops:' .. string.sub(name, 8))  -- with the hash tag that names in scripts have on a cluster
end
local gone = redis.call('DEL', 'finops:key:' .. id)
redis.call('DEL', values)
redis.call('ZREM', 'finops:keys', id)
-- A gateway that required keys goes on to: to delete the last one must not open it to everybody.
if gone == 1 then redis.call('SET', 'finops:keys:deleted', 1) end
redis.call('PUBLISH', 'finops:keys:changed', id)
return gone
