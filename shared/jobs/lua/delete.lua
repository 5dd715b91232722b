#!lua flags=allow-oom
--!include prelude.lua
--!include remove.lua
-- Removes a job that has ended. ARGV: its id. Answers 'gone', 'live' or 'deleted'.
local job = read_job(ARGV[1])
if not job then return 'gone' end
if job.state == 'queued' or job.state == 'deferred' or job.state == 'running' then return 'live' end
remove(job)
return 'deleted'
