#!lua flags=allow-oom
-- Removes a virtual key with all its values. Argument: id. Answers whether there was one.
local call = redis.call
local id = ARGV[1]
local values = 'finops:key:' .. id .. ':values'
for _, name in ipairs(call('SMEMBERS', values)) do call('DEL', name) end
local gone = call('DEL', 'finops:key:' .. id)
call('DEL', values)
call('ZREM', 'finops:keys', id)
call('PUBLISH', 'finops:keys:changed', id)
return gone
