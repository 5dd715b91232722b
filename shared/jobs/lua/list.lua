#!lua flags=allow-oom
--!include prelude.lua
-- One piece of a list of jobs, in order of creation, without bodies. ARGV: the set, 'desc' or 'asc', the position after
-- which to begin (score and member, or two empty texts), bounds of creation (exclusive; '-inf' and '+inf'), most rows,
-- most records to look at, the filter (JobFilter.as_json), '1' to forget expired jobs at once, then the fields wanted.
-- Answers {rows, {score, member} of the last record that was looked at, or false at the end of the list}.
local set, order, score, member = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local low, high = ARGV[5], ARGV[6]
local limit, budget, filter, prune = num(ARGV[7]), num(ARGV[8]), cjson.decode(ARGV[9]), ARGV[10] == '1'
local wanted = {}
for i = 11, #ARGV do wanted[#wanted + 1] = ARGV[i] end
local descending = order == 'desc'
local RANK = descending and 'ZREVRANK' or 'ZRANK'
local RANGE = descending and 'ZREVRANGE' or 'ZRANGE'
-- An expired job stays as a cursor for a day.
local forget_before = prune and math.huge or now_ms() - 86400000

--!include fits.lua

-- How many entries of the set come before the first one to look at.
local function begin()
  local from = 0
  if descending then
    if high ~= '+inf' then from = call('ZCOUNT', set, high, '+inf') end
  elseif low ~= '-inf' then
    from = call('ZCOUNT', set, '-inf', low)
  end
  if member == '' then return from end
  local added = call('ZADD', set, 'NX', score, member)  -- its place is needed, whether the job is in the set or not
  local rank = call(RANK, set, member)
  if added == 1 then call('ZREM', set, member) else rank = rank + 1 end
  return math.max(from, rank)
end

local function beyond(created)
  if descending then return low ~= '-inf' and created <= num(low) end
  return high ~= '+inf' and created >= num(high)
end

local from = begin()
local rows, gone, position, scanned, ended = {}, {}, false, 0, false
while not ended and #rows < limit and scanned < budget do
  local count = math.min(100, budget - scanned)
  local page = call(RANGE, set, int(from), int(from + count - 1), 'WITHSCORES')
  local full = false
  for i = 1, #page, 2 do
    local id, created = page[i], num(page[i + 1])
    ended, full = beyond(created), #rows == limit
    if ended or full then break end
    local f = call('HMGET', job_key(id), unpack(fields))
    if not f[1] then
      if created < forget_before then gone[#gone + 1] = id end
    elseif fits(f) then
      rows[#rows + 1] = {id, call('HMGET', job_key(id), unpack(wanted))}
    end
    position = {page[i + 1], id}
  end
  ended = ended or (not full and #page < count * 2)
  from = from + count
  scanned = scanned + count
end
if #gone > 0 then call('ZREM', set, unpack(gone)) end
return {rows, (not ended) and position}
