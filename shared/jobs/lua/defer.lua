#!lua flags=allow-oom
--!include prelude.lua
-- Gives the slot back until later. ARGV: id, token, delay in ms, '1' when the attempt counts, reason, the run's history.
local now = now_ms()
local job = read_job(ARGV[1])
if not job or job.state ~= 'running' or job.lease ~= ARGV[2] then return 0 end
local attempts = ARGV[4] == '1' and job.attempts or math.max(0, job.attempts - 1)
add_history(job, ARGV[6])
wait_again(job, now, now + num(ARGV[3]), ARGV[5], attempts)
settle()
return 1
