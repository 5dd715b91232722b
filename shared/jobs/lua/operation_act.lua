#!lua flags=allow-oom
--!include prelude.lua
--!include remove.lua
--!include operations.lua
-- Applies an operation to some of its jobs, each once. ARGV: id, turn, ms for which it is held, action, the new priority, its
-- index set, the filter (JobFilter.as_json), then id and error of each job. A job that no longer fits the filter, or is in
-- another state than the action needs, is skipped. Answers 1, or 0 when the turn is lost.
local operation, action, priority = ARGV[1], ARGV[4], ARGV[5]
local filter = cjson.decode(ARGV[7])
--!include fits.lua
if not holds_operation(operation, ARGV[2]) then return 0 end
local now = now_ms()
local aborted = {}

local function cancel(job, error)
  if job.state == 'running' then aborted[#aborted + 1] = job.id end
  conclude(job, now, {state = 'cancelled', status = 409, error = error, code = 'job_cancelled'})
end

-- Its place among its caller's jobs of the new priority is by its old sequence number.
local function reprioritize(job)
  leave_waiting(job)
  job.priority = priority
  redis.call('HSET', job_key(job.id), 'priority', priority)
  redis.call('ZADD', index_key(ARGV[6]), int(job.created), job.id)
  local c = caller_of(job.caller)
  c.waiting = c.waiting + 1
  if job.deadline > 0 then redis.call('ZADD', DEADLINES, int(job.deadline), job.id) end
  local due = num(redis.call('HGET', job_key(job.id), 'due_ms'))
  if job.state == 'queued' then
    make_ready(job, due)
  else
    redis.call('ZADD', DEFERRED, int(due), job.id)
    redis.call('ZADD', QUEUE[priority], int(due), job.id)
  end
end

local function apply(job, error)
  local waits = job.state == 'queued' or job.state == 'deferred'
  local live = waits or job.state == 'running'
  if action == 'cancel' and live then
    cancel(job, error)
  elseif action == 'delete' and not live then
    remove(job)
  elseif action == 'reprioritize' and waits and job.priority ~= priority then
    reprioritize(job)
  else
    return false
  end
  return true
end

for i = 8, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('ZSCORE', operation_jobs_key(operation), id) then
    local job = read_job(id)
    local cost = job and estimate_of(id) or 0
    local done = job and fits(redis.call('HMGET', job_key(id), unpack(fields))) and apply(job, ARGV[i + 1])
    count_job(operation, id, done and 'done' or 'skipped', done and cost or 0)
  end
end
settle()
for _, id in ipairs(aborted) do redis.call('PUBLISH', CANCEL, id) end
redis.call('HSET', operation_key(operation), 'tries', '0')
hold_operation(operation, now, num(ARGV[3]))
return 1
