#!lua flags=allow-oom
--!include prelude.lua
-- A poll: the record, after its deadline was checked, and the forecast of a queued job. ARGV: id, error of a missed
-- deadline. Answers {record, {position, claims per second}, now, pauses}, without time and pauses where it does not wait.
local id = ARGV[1]
local fields = redis.call('HGETALL', job_key(id))
if #fields == 0 then return false end
local job
for i = 1, #fields, 2 do
  if fields[i] == 'state' and (fields[i + 1] == 'queued' or fields[i + 1] == 'deferred') then job = read_job(id) end
end
if not job then return {fields, {0, '0'}} end
local now = now_ms()
if overdue(job, now) then
  miss_deadline(job, now, ARGV[2])
  settle_outcomes()
  return {redis.call('HGETALL', job_key(id)), {0, '0'}}
end
return {fields, job.state == 'queued' and forecast(job) or {0, '0'}, int(now), redis.call('HGETALL', 'finops:jobs:pauses')}
