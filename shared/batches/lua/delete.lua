#!lua flags=allow-oom
--!include prelude.lua
-- Removes a file that no batch reads. Answers 'gone', 'used' or 'deleted'.
local id = ARGV[1]
local f = redis.call('HMGET', file_key(id), 'owner', 'parts', 'uses')
if not f[2] then return 'gone' end
if num(f[3]) > 0 then return 'used' end
for part = 0, num(f[2]) - 1 do
  local key = part_key(id, int(part))
  if redis.call('STRLEN', key) == 0 then redis.call('ZADD', BLOBS, 'XX', int(now_ms()), 'files/' .. id .. '/' .. int(part)) end
  redis.call('DEL', key)
end
redis.call('DEL', file_key(id))
redis.call('ZREM', files_key(f[1] or ''), id)
return 'deleted'
