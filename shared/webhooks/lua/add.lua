#!lua
--!include prelude.lua
-- Adds a delivery. ARGV: id, entry, endpoint, group, owner, webhook, url, event, event_id, job, body, label, manual ('1': a
-- person asked for it), index of the webhook, index of the job ('': none), keep_ms, max_pending.
-- Answers 'added', 'known' (the entry was read before) or 'refused' (recorded as failed: too many are pending).
local id, entry, endpoint, group, owner, webhook, url, event, event_id, job, body, label, manual = unpack(ARGV, 1, 13)
local webhook_index, job_index, keep_ms, max_pending = ARGV[14], ARGV[15], num(ARGV[16]), num(ARGV[17])
local now = now_ms()
local f = redis.call('HMGET', delivery_key(id), 'entry', 'status')
if f[1] == entry or f[2] == 'pending' then return 'known' end
local seq = redis.call('HINCRBY', CLOCK, 'seq', 1)
if f[2] then redis.call('ZREM', status_key(f[2]), id) end
redis.call('HSET', delivery_key(id), 'v', '1', 'entry', entry, 'endpoint', endpoint, 'group', group, 'owner', owner,
  'webhook', webhook, 'url', url, 'event', event, 'event_id', event_id, 'job', job, 'body', body, 'manual', manual,
  'seq', seq, 'created_ms', int(now), 'from_ms', int(now), 'status', 'pending', 'reason', '', 'token', '')
redis.call('HSET', endpoint_key(endpoint), 'label', label, 'group', group)
redis.call('PEXPIRE', endpoint_key(endpoint), ENDPOINT_MS)
for _, list in ipairs({ALL, webhook_key(webhook_index), event_key(event)}) do
  redis.call('ZADD', list, seq, id)
  prune(list)
  if list ~= ALL then redis.call('PEXPIRE', list, ENDPOINT_MS) end
end
if job_index ~= '' then
  redis.call('ZADD', job_key(job_index), seq, id)
  redis.call('ZREMRANGEBYRANK', job_key(job_index), 0, -1001)
  redis.call('PEXPIRE', job_key(job_index), int(LIVE_MS + keep_ms))
end
local pending = count('p:' .. group)
add_count('p:' .. group, 1)
expire(id, int(LIVE_MS))
if pending >= max_pending then
  conclude(id, 'failed', now, keep_ms, 'too_many_pending')
  return 'refused'
end
list_as(id, 'pending', seq)
if manual == '1' then redis.call('HSET', endpoint_key(endpoint), 'open_until_ms', '0') end
wait_until(id, endpoint, manual == '1' and 0 or now)  -- what a person asked for goes first
schedule(endpoint, now)
return 'added'
