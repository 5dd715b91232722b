#!lua flags=allow-oom
--!include prelude.lua
--!include remove.lua
--!include operations.lua
-- Applies an operation to its next jobs, each once. ARGV: id, turn, ms for which it is held, action, the new priority, its
-- index set, the filter (JobFilter.as_json), how many jobs, then what is before and after a job's id in the error of a
-- cancelled one. A job that no longer fits the filter, or is in another state than the action needs, is skipped. Answers
-- the number of these jobs, 0 when there are no more, -1 when the turn is lost.
local operation, action, priority = ARGV[1], ARGV[4], ARGV[5]
local filter = cjson.decode(ARGV[7])
--!include fits.lua
need('context')
if not holds_operation(operation, ARGV[2]) then return -1 end
local now = now_ms()
local aborted = {}

local function cancel(job)
  if job.state == 'running' then aborted[#aborted + 1] = job.id end
  conclude(job, now, {state = 'cancelled', status = 409, error = ARGV[9] .. job.id .. ARGV[10], code = 'job_cancelled'})
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

local function apply(job)
  local waits = job.state == 'queued' or job.state == 'deferred'
  local live = waits or job.state == 'running'
  if action == 'cancel' and live then
    cancel(job)
  elseif action == 'delete' and not live then
    remove(job)
  elseif action == 'reprioritize' and waits and job.priority ~= priority then
    reprioritize(job)
  else
    return false
  end
  return true
end

local ids = redis.call('ZRANGE', operation_jobs_key(operation), '0', ARGV[8] - 1)
if #ids == 0 then return 0 end
local done, costs = 0, 0
for _, id in ipairs(ids) do
  local job = read_job(id)
  local f = job and redis.call('HMGET', job_key(id), unpack(fields))
  if job and fits(f) and apply(job) then
    done, costs = done + 1, costs + estimate_in(f[at.context])
  end
end
count_jobs(operation, ids, done, costs)
settle_outcomes()
for _, id in ipairs(aborted) do redis.call('PUBLISH', CANCEL, id) end
redis.call('HSET', operation_key(operation), 'tries', '0')
hold_operation(operation, now, num(ARGV[3]))
return #ids
