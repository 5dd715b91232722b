#!lua flags=allow-oom
--!include prelude.lua
-- One piece of a list of jobs, in order of creation, without bodies. ARGV: the set, 'desc' or 'asc', the position after
-- which to begin (score and member, or two empty texts), bounds of creation (exclusive; '-inf' and '+inf'), most rows,
-- most records to look at, the filter (JobFilter.as_json), '1' to forget expired jobs at once, then the fields wanted.
-- Answers {rows, {score, member} of the last record that was looked at, or false at the end of the list}.
local set, order, score, member = named(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local low, high = ARGV[5], ARGV[6]
local OWNER_JOBS = 10000  -- as in scans.py
local limit, budget, filter, prune = num(ARGV[7]), num(ARGV[8]), cjson.decode(ARGV[9]), ARGV[10] == '1'
local groups = cjson.decode(ARGV[11])
local wanted = {}
for i = 12, #ARGV do wanted[#wanted + 1] = ARGV[i] end
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
    if high ~= '+inf' then from = redis.call('ZCOUNT', set, high, '+inf') end
  elseif low ~= '-inf' then
    from = redis.call('ZCOUNT', set, '-inf', low)
  end
  if member == '' then return from end
  local added = redis.call('ZADD', set, 'NX', score, member)  -- its place is needed, whether the job is in the set or not
  local rank = redis.call(RANK, set, member)
  if added == 1 then redis.call('ZREM', set, member) else rank = rank + 1 end
  return math.max(from, rank)
end

local function beyond(created)
  if descending then return low ~= '-inf' and created <= num(low) end
  return high ~= '+inf' and created >= num(high)
end

-- Jobs of some costs, by creation: made for this call, as they are few.
local source = set
if source == COSTS then
  set = 'finops:jobs:cost-range'
  redis.call('ZRANGESTORE', set, COSTS, exact(filter.cost[1]), exact(filter.cost[2]), 'BYSCORE')
  redis.call('ZINTERSTORE', set, '2', set, ALL, 'WEIGHTS', '0', '1')
end

local from = begin()
local rows, gone, position, scanned, ended = {}, {}, false, 0, false

local function read(id, created)
  scanned = scanned + 1
  local f = redis.call('HMGET', job_key(id), unpack(fields))
  if not f[1] then
    if created < forget_before then gone[#gone + 1] = id end
  elseif fits(f) then
    rows[#rows + 1] = {id, redis.call('HMGET', job_key(id), unpack(wanted))}
  end
end

local function read_page()
  local count = math.max(1, math.floor(math.min(100, budget - scanned)))
  local page = redis.call(RANGE, set, int(from), int(from + count - 1), 'WITHSCORES')
  for i = 1, #page, 2 do
    local id, created = page[i], num(page[i + 1])
    ended = beyond(created)
    if ended or #rows == limit then return end
    read(id, created)
    position = {page[i + 1], id}
  end
  ended = #page < count * 2
  from = from + count
end

-- Entries that are not younger than the oldest job of the list of all jobs may be missing from the sets of groups.
local function oldest_of(key) return tonumber(redis.call('ZRANGE', key, '0', '0', 'WITHSCORES')[2] or nil) or math.huge end
local complete_from = #groups > 0 and oldest_of(ALL) or math.huge
local per_entry, size = 0, 100  -- an entry costs a fifth of a read for each set of the groups
for _, group in ipairs(groups) do
  per_entry = per_entry + 0.2 * #group
  for _, key in ipairs(group) do
    -- The list of an owner has lost older jobs when it is full.
    if string.find(key, '^finops:owner:') and redis.call('ZCARD', key) >= OWNER_JOBS then
      complete_from = math.max(complete_from, oldest_of(key))
    end
  end
end

local function in_set(key, score)
  return score and (key ~= COSTS or (num(score) >= filter.cost[1] and num(score) <= filter.cost[2]))
end

-- Returns the ids that are in one set of each group.
local function sifted(ids)
  for _, group in ipairs(groups) do
    local found, rest = {}, ids
    for _, key in ipairs(group) do
      if #rest == 0 then break end
      local others = {}
      for i, score in ipairs(redis.call('ZMSCORE', key, unpack(rest))) do
        if in_set(key, score) then found[rest[i]] = true else others[#others + 1] = rest[i] end
      end
      rest = others
    end
    local kept = {}
    for _, id in ipairs(ids) do if found[id] then kept[#kept + 1] = id end end
    ids = kept
    if #ids == 0 then break end
  end
  return ids
end

-- Goes through a page of which only a few entries are read. Its scores would cost as much as the page: only those that are
-- needed are asked for. Answers false where the groups say nothing of it.
local function sift_page()
  local count = math.ceil(math.min(size, (budget - scanned) / per_entry))
  local start, page = from, redis.call(RANGE, set, int(from), int(from + count - 1))
  if #page == 0 then
    ended = true
    return true
  end
  local first, last = redis.call('ZSCORE', set, page[1]), redis.call('ZSCORE', set, page[#page])
  if math.min(num(first), num(last)) <= complete_from or beyond(num(last)) then return false end
  scanned = scanned + #page * per_entry
  for i, id in ipairs(sifted(page)) do
    if #rows == limit or (i > 1 and scanned >= budget) then return true end
    local created = redis.call('ZSCORE', set, id)
    read(id, num(created))
    position = {created, id}
    from = redis.call(RANK, set, id) + 1
  end
  if #rows == limit then return true end
  position = {last, page[#page]}
  ended = #page < count
  from = start + count
  size = math.min(size * 2, 1000)
  return true
end

while not ended and #rows < limit and scanned < budget do
  if #groups == 0 or not sift_page() then read_page() end
end
if source == COSTS then redis.call('DEL', set) end
if #gone > 0 then
  redis.call('ZREM', source, unpack(gone))
  redis.call('ZREM', COSTS, unpack(gone))
end
return {rows, (not ended) and position}
