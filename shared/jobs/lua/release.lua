#!lua flags=allow-oom
--!include prelude.lua
-- Hands jobs back that were not run to their end; the attempt does not count. Answers how many were still the asker's.
local now = now_ms()
local released = 0
for i = 1, #ARGV, 2 do
  local job = read_job(ARGV[i])
  if job and job.state == 'running' and job.lease == ARGV[i + 1] then
    wait_again(job, now, now, 'released', math.max(0, job.attempts - 1))
    released = released + 1
  end
end
settle()
return released
