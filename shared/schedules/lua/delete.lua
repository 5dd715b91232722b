#!lua flags=allow-oom
--!include prelude.lua
-- Removes a schedule; its jobs stay. ARGV: id. Answers 1, or 0 when there is none.
local id = ARGV[1]
local owner = call('HGET', schedule_key(id), 'owner')
call('ZREM', ALL, id)
call('ZREM', DUE, id)
if not owner then return 0 end
call('ZREM', owner_key(owner), id)
return call('DEL', schedule_key(id))
