#!lua flags=allow-oom
--!include prelude.lua
--!include stored_responses.lua
-- Deletes a stored response. ARGV: its key, caller.
local key, caller = named(ARGV[1]), ARGV[2]
uncount_response(key, caller, now_ms())
return redis.call('DEL', key)
