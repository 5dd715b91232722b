#!lua
--!include prelude.lua
--!include gathering.lua
-- Adds a job to the open batch of its group. ARGV: group, id of a new batch, job, bytes of its line, ms for which a batch is
-- open, most jobs, most bytes, when the job is promoted, then names and values of a new batch's record. Answers the batch.
local group, id, job = ARGV[1], ARGV[2], ARGV[3]
local size, open_ms, promote = num(ARGV[4]), num(ARGV[5]), num(ARGV[8])
local now = now_ms()
local open = redis.call('GET', group_pointer(group))
if open and redis.call('HGET', gathered_key(open), 'state') == 'open' then
  id = open
else
  redis.call('HSET', gathered_key(id), 'state', 'open', 'group', group, 'created_ms', int(now), 'turn', '0', unpack(ARGV, 9))
  redis.call('SET', group_pointer(group), id, 'PX', int(open_ms + 86400000))
  redis.call('ZADD', GATHERING, int(now + open_ms), id)
end
if redis.call('SADD', gathered_jobs_key(id), job) == 1 then
  local jobs = redis.call('HINCRBY', gathered_key(id), 'jobs', '1')
  local bytes = redis.call('HINCRBY', gathered_key(id), 'bytes', int(size))
  if promote > num(redis.call('HGET', gathered_key(id), 'promote_ms')) then
    redis.call('HSET', gathered_key(id), 'promote_ms', int(promote))
  end
  if jobs >= num(ARGV[6]) or bytes >= num(ARGV[7]) then
    redis.call('DEL', group_pointer(group))
    redis.call('ZADD', GATHERING, int(now), id)
  end
end
keep_gathered(id)
return id
