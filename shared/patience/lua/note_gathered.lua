#!lua flags=allow-oom
--!include prelude.lua
--!include gathering.lua
-- Notes how far a gathered batch has come. ARGV: id, number of the turn, ms until the next look (-1: it has ended), then
-- names and values of its record. Answers 1, or 0 when another turn has been taken since.
local id, wait = ARGV[1], num(ARGV[3])
if redis.call('HGET', gathered_key(id), 'turn') ~= ARGV[2] then return 0 end
if wait < 0 then
  redis.call('DEL', gathered_key(id), gathered_jobs_key(id))
  redis.call('ZREM', GATHERING, id)
  return 1
end
if #ARGV > 3 then redis.call('HSET', gathered_key(id), unpack(ARGV, 4)) end
redis.call('ZADD', GATHERING, int(now_ms() + wait), id)
keep_gathered(id)
return 1
