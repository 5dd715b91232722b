#!lua flags=allow-oom
-- Removes a virtual key with all its values. Argument: id. Answers whether there was one.
local call = redis.call
local id = ARGV[1]
local values = 'finops:key:' .. id .. ':values'
for _, name in ipairs(call('SMEMBERS', values)) do
  call('DEL', 'finops:' .. string.sub(name, 8))  -- with the hash tag that names in scripts have on a cluster
end
local gone = call('DEL', 'finops:key:' .. id)
call('DEL', values)
call('ZREM', 'finops:keys', id)
-- A gateway that required keys goes on to: to delete the last one must not open it to everybody.
if gone == 1 then call('SET', 'finops:keys:deleted', 1) end
call('PUBLISH', 'finops:keys:changed', id)
return gone
