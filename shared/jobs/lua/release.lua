#!lua flags=allow-oom
--!include prelude.lua
-- Releases claimed jobs that have no outcome; the attempt does not count. Answers how many leases still held.
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
