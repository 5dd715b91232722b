#!lua flags=allow-oom
--!include prelude.lua
--!include gathering.lua
-- Ends jobs of a gathered batch with what their lines answered, each line once. ARGV: the batch, then per line: job, state
-- ('' to run it now), status, result type, result, its encoding, its size, error, meta, ledger entry, further index set,
-- ledger entry if the job has ended before, its attempt for the history. Answers how many jobs ended with it, had ended
-- before, and are run now.
local id = ARGV[1]
local now = now_ms()
local answered, late, promoted = 0, 0, 0

local function book_beside(json)
  if json == '' then return end
  if not outcome_books then outcome_books, booked_ms = open_books(), now end
  settle_outcome('', 'settled', json, now, outcome_books)
end

local function run_now(job)
  if job.state ~= 'deferred' then return end
  redis.call('HSET', job_key(job.id), 'due_ms', int(now), 'reason', 'promoted')
  redis.call('ZADD', DEFERRED, int(now), job.id)
  redis.call('ZADD', QUEUE[job.priority], int(now), job.id)
  wake_for_soon(job.priority, 0)
  promoted = promoted + 1
end

for at = 2, #ARGV, 13 do
  if redis.call('SREM', gathered_jobs_key(id), ARGV[at]) == 1 then
    local job = read_job(ARGV[at])
    local live = job and (job.state == 'deferred' or job.state == 'queued' or job.state == 'running')
    if live and ARGV[at + 1] ~= '' then
      local history = ARGV[at + 12]
      if job.state == 'running' then  -- it was promoted, and is answered twice: its run is charged as that of a cancel
        book_beside(entry_of(job, now, {state = 'cancelled', status = 409, code = 'late_duplicate'}))
        redis.call('PUBLISH', CANCEL, job.id)
        history = ended_run(job, now, 409, 'late_duplicate') .. '\n' .. history
      end
      conclude(job, now, {
        state = ARGV[at + 1], status = num(ARGV[at + 2]), result_type = ARGV[at + 3], result = ARGV[at + 4],
        result_as = ARGV[at + 5], size = num(ARGV[at + 6]), error = ARGV[at + 7], meta = ARGV[at + 8],
        ledger = ARGV[at + 9], index = ARGV[at + 10], history = history, code = '',
      })
      answered = answered + 1
    elseif live then
      run_now(job)
    elseif ARGV[at + 11] ~= '' then
      book_beside(ARGV[at + 11])
      late = late + 1
    end
  end
end
settle_outcomes()
return {answered, late, promoted}
