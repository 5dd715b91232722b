#!lua flags=allow-oom
--!include prelude.lua
-- Leaves the content of a file's part to the object store, if the part is as long as what was written there. ARGV: file,
-- part, bytes. Answers 1 or 0.
local key = part_key(ARGV[1], ARGV[2])
if redis.call('STRLEN', key) ~= num(ARGV[3]) then return 0 end
redis.call('SET', key, '', 'KEEPTTL')
return 1
