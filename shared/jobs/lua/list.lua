#!lua flags=allow-oom
--!include prelude.lua
-- One piece of a list of jobs, in order of creation, without bodies. ARGV: the set, 'desc' or 'asc', the position after
-- which to begin (score and member, or two empty texts), bounds of creation (exclusive; '-inf' and '+inf'), most rows,
-- the budget in records looked at, the filter (JobFilter.as_json), '1' to forget expired jobs at once, the groups (JSON),
-- entries of the first page that is sifted by them, then the fields wanted.
-- Answers {rows, {score, member} of the last record that was looked at, or false at the end of the list}.
local set, order, score, member = named(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local low, high = ARGV[5], ARGV[6]
local OWNER_JOBS = 10000  -- as in scans.py
local limit, budget, filter, prune = num(ARGV[7]), num(ARGV[8]), cjson.decode(ARGV[9]), ARGV[10] == '1'
local groups, size = cjson.decode(ARGV[11]), num(ARGV[12])
-- Work in units of a record looked at, 3 to 5 us: an entry and one set of a group 0.7 to 1.1 us (2 at worst), a row 10 us.
local SIFTED, ROW, WIDEST = 0.2, 2, 1000
local wanted = {}
for i = 13, #ARGV do wanted[#wanted + 1] = ARGV[i] end
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
local rows, gone, position, spent, ended = {}, {}, false, 0, false

local function read(id, created)
  spent = spent + 1
  local f = redis.call('HMGET', job_key(id), unpack(fields))
  if not f[1] then
    if created < forget_before then gone[#gone + 1] = id end
  elseif fits(f) then
    rows[#rows + 1] = {id, redis.call('HMGET', job_key(id), unpack(wanted))}
    spent = spent + ROW
  end
end

local function read_page()
  local count = math.max(1, math.floor(math.min(100, budget - spent)))
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
local per_entry = 0
for _, group in ipairs(groups) do
  per_entry = per_entry + SIFTED * #group
  for i = 1, #group do group[i] = named(group[i]) end
  for _, key in ipairs(group) do
    -- The list of an owner has lost older jobs when it is full.
    if string.find(key, '^finops:owner:') and redis.call('ZCARD', key) >= OWNER_JOBS then
      complete_from = math.max(complete_from, oldest_of(key))
    end
  end
end

-- Tells which of the ids, created in this range, are in a set: a table that has something at their places, and nothing or
-- false at others. To read the set's own entries of that time takes half of what it takes to look for each id.
local function looked_up(key, ids, oldest, youngest)
  if key == COSTS or redis.call('ZCOUNT', key, oldest, youngest) > #ids * 1.5 then
    return redis.call('ZMSCORE', key, unpack(ids))
  end
  local there, found = {}, {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, oldest, youngest)) do there[id] = true end
  for i = 1, #ids do if there[ids[i]] then found[i] = true end end
  return found
end

-- The same for the sets of a group together.
local function marked(group, ids, oldest, youngest)
  if #group == 1 and group[1] ~= COSTS then return looked_up(group[1], ids, oldest, youngest) end
  local found, rest, at = {}, ids, false  -- at: the places of the rest
  for number, key in ipairs(group) do
    local scores, left, left_at = looked_up(key, rest, oldest, youngest), {}, {}
    for i = 1, #rest do
      local score, place = scores[i], at and at[i] or i
      if score and (key ~= COSTS or (num(score) >= filter.cost[1] and num(score) <= filter.cost[2])) then
        found[place] = true
      elseif number < #group then
        left[#left + 1], left_at[#left_at + 1] = rest[i], place
      end
    end
    rest, at = left, left_at
    if #rest == 0 then break end
  end
  return found
end

-- Returns the places of those entries of a page that are in one set of each group.
local function sifted(page, oldest, youngest)
  local ids, at = page, false
  for _, group in ipairs(groups) do
    local found, kept, kept_at = marked(group, ids, oldest, youngest), {}, {}
    if not next(found) then return {} end
    for i = 1, #ids do
      if found[i] then kept[#kept + 1], kept_at[#kept_at + 1] = ids[i], at and at[i] or i end
    end
    ids, at = kept, kept_at
    if #ids == 0 then break end
  end
  return at
end

-- The ranks of the first entry, and of the one after the last, of which the groups tell all.
local function told_by_groups()
  local younger = '(' .. exact(complete_from)
  if not descending then
    local first = redis.call('ZCARD', set) - redis.call('ZCOUNT', set, younger, '+inf')
    return first, high == '+inf' and math.huge or redis.call('ZCOUNT', set, '-inf', '(' .. high)
  end
  if low ~= '-inf' and num(low) > complete_from then younger = '(' .. low end
  return 0, redis.call('ZCOUNT', set, younger, '+inf')
end
local first_told, end_told = 0, 0
if complete_from < math.huge then first_told, end_told = told_by_groups() end

-- Goes through a page of which only a few entries are read. Its scores would cost as much as the page: only those that are
-- needed are asked for. Answers false where the groups do not tell all.
local function sift_page()
  local count = math.min(math.ceil(math.min(size, (budget - spent) / per_entry)), end_told - from)
  if from < first_told or count <= 0 then return false end
  local start, page = from, redis.call(RANGE, set, int(from), int(from + count - 1))
  if #page == 0 then
    ended = true
    return true
  end
  local first, last = redis.call('ZSCORE', set, page[1]), redis.call('ZSCORE', set, page[#page])
  spent = spent + #page * per_entry
  for i, place in ipairs(sifted(page, descending and last or first, descending and first or last)) do
    if #rows == limit or (i > 1 and spent >= budget) then return true end
    local created = redis.call('ZSCORE', set, page[place])
    read(page[place], num(created))
    position = {created, page[place]}
    from = start + place
  end
  if #rows == limit then return true end
  position = {last, page[#page]}
  from = start + #page
  size = math.min(size * 2, WIDEST)
  return true
end

while not ended and #rows < limit and spent < budget do
  if #groups == 0 or not sift_page() then read_page() end
end
if source == COSTS then redis.call('DEL', set) end
if #gone > 0 then
  redis.call('ZREM', source, unpack(gone))
  redis.call('ZREM', COSTS, unpack(gone))
end
return {rows, (not ended) and position}
