#!lua flags=allow-oom
--!include prelude.lua
-- Ends a live job as cancelled and notifies the worker that runs it; a job that has ended stays as it is. ARGV: id, its
-- error. Answers the record, false when there is none.
local id = ARGV[1]
local job = read_job(id)
if not job then return false end
if job.state == 'queued' or job.state == 'deferred' or job.state == 'running' then
  local ran = job.state == 'running'
  conclude(job, now_ms(), {state = 'cancelled', status = 409, error = ARGV[2], code = 'job_cancelled'})
  settle_outcomes()
  if ran then redis.call('PUBLISH', CANCEL, id) end
end
return redis.call('HGETALL', job_key(id))
