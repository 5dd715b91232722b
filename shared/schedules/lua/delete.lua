#!lua flags=allow-oom
--!include prelude.lua
-- Removes a schedule; its jobs stay. ARGV: id. Answers 1, or 0 when there is none.
local id = ARGV[1]
local owner = redis.call('HGET', schedule_key(id), 'owner')
redis.call('ZREM', ALL, id)
redis.call('ZREM', DUE, id)
if not owner then return 0 end
redis.call('ZREM', owner_key(owner), id)
return redis.call('DEL', schedule_key(id))
