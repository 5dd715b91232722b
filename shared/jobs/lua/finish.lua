#!lua flags=allow-oom
--!include prelude.lua
-- Writes events and outcomes of runs, each fenced by its token. Per item: id, token, state ('' for events alone), status,
-- result type, result, error, meta, ledger entry, '1' for the dead-letter list, a further
-- index set ('': none), the run's history ('-': unknown), the result's encoding and the size of its body, how many events
-- the run has written before (or -1: not counted), number of events, then name and data of each. Events that a call with a lost answer wrote
-- are skipped. Answers 1 or 0 per item: written, or the lease was lost.
local now = now_ms()
local MAX_EVENTS = 10000
local answers = {}

local function append_events(id, before, first, events)
  local skip = 0
  if before >= 0 then
    skip = math.max(0, num(redis.call('HGET', job_key(id), 'said')) - before)
    redis.call('HSET', job_key(id), 'said', int(before + events))
  end
  local length = 0
  for i = first + skip * 2, first + events * 2 - 1, 2 do length = log_event(id, ARGV[i], ARGV[i + 1]) end
  if length > MAX_EVENTS + 1000 then
    redis.call('LTRIM', events_key(id), -MAX_EVENTS, -1)
    redis.call('HINCRBY', job_key(id), 'events_base', length - MAX_EVENTS)
  end
end

local function code_of(error) return string.match(error, '"code":"([%w_]*)"') or '' end

-- Most jobs have no reservation: one command tells that for all items, where it would else be one for each.
local function are_unheld()
  local ids, at = {}, 1
  while at <= #ARGV do
    ids[#ids + 1] = ARGV[at]
    at = at + 16 + num(ARGV[at + 15]) * 2
  end
  return #ids > 1 and have_no_hold(ids)
end

unheld = are_unheld()
local lost_part = false
local at = 1
while at <= #ARGV do
  local id, token, state = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local encoding, size = ARGV[at + 12], num(ARGV[at + 13])
  local events = num(ARGV[at + 15])
  local job = read_job(id)
  local ours = job and job.state == 'running' and job.lease == token
  -- A large result is not in the arguments: it has been written before, in parts.
  local part = ours and size > 0 and ARGV[at + 5] == '' and string.sub(encoding, 1, 2) ~= 'b:' and part_key(id, token)
  if part and redis.call('EXISTS', part) == 0 then ours, lost_part = false, true end
  if ours then
    if events > 0 then append_events(id, num(ARGV[at + 14]), at + 16, events) end
    if state ~= '' then
      conclude(job, now, {
        token = token, state = state, status = num(ARGV[at + 3]), result_type = ARGV[at + 4], result = ARGV[at + 5],
        part = part, result_as = encoding, size = size,
        error = ARGV[at + 6], meta = ARGV[at + 7], ledger = ARGV[at + 8], dead = ARGV[at + 9] == '1',
        index = ARGV[at + 10], history = ARGV[at + 11] ~= '-' and ARGV[at + 11] or nil, code = code_of(ARGV[at + 6]),
      })
    elseif events > 0 then
      redis.call('PUBLISH', signal_key(id), 'running')
    end
  end
  -- A finish sent twice, because its first answer was lost, is recorded once and accepted twice.
  local again = not ours and job and state ~= '' and job.state == state and job.lease == token
  answers[#answers + 1] = (ours or again) and 1 or 0
  at = at + 16 + events * 2
end
settle_outcomes()
if lost_part then return redis.error_reply('TRYAGAIN a large result has expired before it was taken') end
return answers
