#!lua
--!include prelude.lua
--!include operations.lua
-- Puts a failed job back into the queue as if it were new. ARGV: id, then what changes ('' or 0: nothing): model,
-- priority, deadline in ms, request body as it is stored, its encoding, its size, the bulk operation that does it ('':
-- none), and the further index sets of these.
-- Answers 'gone', its state when it has not failed, or the record; 'counted' when the operation has had this job.
local id, operation = ARGV[1], ARGV[8]
if operation ~= '' and not redis.call('ZSCORE', operation_jobs_key(operation), id) then return 'counted' end
local job = read_job(id)
if not job or (job.state == 'failed' and redis.call('EXISTS', payload_key(id)) == 0) then return 'gone' end
if job.state ~= 'failed' then return job.state end
local now = now_ms()
local model, priority, deadline, payload = ARGV[2], ARGV[3], num(ARGV[4]), ARGV[5]
local encoding, size = ARGV[6], num(ARGV[7])
local f = redis.call('HMGET', job_key(id), 'expires_ms', 'stored', 'size', 'payload_as')
count_bytes(job.caller, hour_of(num(f[1])), -num(f[2]))
count_bytes(job.caller, 'live', size > 0 and size or num(f[3]))
job.state = 'queued'
if priority ~= '' then job.priority = priority end
if size > 0 then
  redis.call('SET', payload_key(id), payload, 'KEEPTTL')
  redis.call('HSET', job_key(id), 'size', int(size), 'payload_as', encoding)
  drop_body(f[4], now)
end
job.seq = redis.call('HINCRBY', CLOCK, 'seq', 1)
redis.call('HINCRBY', job_key(id), 'events_base', redis.call('LLEN', events_key(id)))
redis.call('HDEL', job_key(id), 'result', 'result_size', 'stored', 'result_type', 'error', 'meta', 'completed_ms', 'expires_ms', 'status_code',
  'started_ms', 'deadline_ms', 'reason')
redis.call('HSET', job_key(id), 'state', 'queued', 'lease', '', 'attempts', '0', 'due_ms', int(now), 'seq', int(job.seq),
  'priority', job.priority, 'runs_before', int(job.runs_before + job.attempts))
if model ~= '' then redis.call('HSET', job_key(id), 'model', model) end
if deadline > 0 then
  redis.call('HSET', job_key(id), 'deadline_ms', int(now + deadline))
  redis.call('ZADD', DEADLINES, int(now + deadline), id)
end
for i = 9, #ARGV do redis.call('ZADD', index_key(ARGV[i]), int(job.created), id) end
redis.call('ZREM', DEAD, id)
redis.call('ZREM', ended_key('failed'), id)
redis.call('ZADD', LIVE, int(job.created), id)
redis.call('DEL', arq_result_key(id), events_key(id), result_key(id))
redis.call('SET', arq_job_key(id), '{"t":null,"f":"run_job","a":["' .. id .. '"],"k":{},"et":' .. int(now) .. '}')
reopen_hold(id)
prolong_hold(id, now + LIVE_MS, now)
local c = caller_of(job.caller)
c.waiting = c.waiting + 1
make_ready(job, now)
notify(id, 'queued', 'job.queued', ',"reason":"retried"')
for _, key in ipairs({job_key(id), payload_key(id), events_key(id), arq_job_key(id)}) do
  redis.call('PEXPIRE', key, LIVE_MS)
end
settle()
if operation ~= '' then count_job(operation, id, 'done', estimate_in(redis.call('HGET', job_key(id), 'context'))) end
return redis.call('HGETALL', job_key(id))
