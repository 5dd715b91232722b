-- The ledger: one entry per outcome in a stream, and its numbers in the roll-ups of its hour and day.
local BOOKS = 'finops:books'
local ENTRIES = 'finops:ledger'
local GROUP = {'key', 'name', 'team', 'customer', 'provider', 'model', 'type', 'dims'}
local SUMS = {'calls', 'errors', 'unpriced', 'input', 'output', 'cached', 'reasoning', 'cost', 'list', 'latency_ms', 'attempts', 'hits', 'saved', 'saved_batch', 'saved_tier', 'saved_cache'}
local OF_PATIENCE = {'on_time', 'late'}  -- the next two sums, of jobs that could wait
local HITS = 12
local NOTHING = '0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0'
-- All of SUMS, as a group stores them.
local STORED = '^(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+),(%-?%d+)$'
local WRITTEN = '%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d'
local MAX_GROUPS = 10000
local MAX_GROUPS_OF_KEY = 2500

local function hour_name(now)
  local year, month, day = civil(math.floor(now / 86400000))
  local date = string.format('%04d-%02d-%02d', year, month, day)
  return date, string.format('%sT%02d', date, math.floor(now / 3600000) % 24)
end

local function dimensions_of(entry)
  if type(entry.dims) ~= 'table' then return '' end
  local names = {}
  for name in pairs(entry.dims) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = name .. '=' .. tostring(entry.dims[name]) end
  return table.concat(names, '\30')
end

-- Models and dimensions come from callers: past MAX_GROUPS, or what one key may have, new groups are summed without them.
local function spare_of(group)
  local parts = {}
  for part in string.gmatch(group .. '\31', '([^\31]*)\31') do
    local name = GROUP[#parts + 1]
    parts[#parts + 1] = name == 'model' and '(other)' or name == 'dims' and '' or part
  end
  return table.concat(parts, '\31')
end

-- Counts a new group of a key; whether the key, or all of them, have as many as they may.
local function is_one_too_many(key, group, most_of_key, keep_ms)
  if redis.call('HLEN', key) >= MAX_GROUPS then return true end
  local counts, owner = key .. ':groups', string.match(group, '^[^\31]*')
  if num(redis.call('HGET', counts, owner)) >= most_of_key then return true end
  if redis.call('HINCRBY', counts, owner, 1) == 1 then redis.call('PEXPIRE', counts, keep_ms) end
  return false
end

-- A group's sums with the amounts added. One match and one format take 16 numbers in half the time of a loop over them,
-- which is for groups with further sums, and for those of a version that summed less.
local function added_up(before, amounts)
  local a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p = string.match(before, STORED)
  if p and #amounts == #SUMS then
    local x = amounts
    return string.format(WRITTEN, a + x[1], b + x[2], c + x[3], d + x[4], e + x[5], f + x[6], g + x[7], h + x[8],
      i + x[9], j + x[10], k + x[11], l + x[12], m + x[13], n + x[14], o + x[15], p + x[16])
  end
  local sums, at = {}, 0
  for n in string.gmatch(before, '[^,]+') do
    at = at + 1
    sums[at] = int(num(n) + (amounts[at] or 0))
  end
  for more = at + 1, #amounts do sums[more] = int(amounts[more]) end
  return table.concat(sums, ',')
end

local function add_to_rollup(key, group, amounts, days, most_of_key)
  local before = redis.call('HGET', key, group)
  if not before and is_one_too_many(key, group, most_of_key, int(days * 86400000)) then
    group = spare_of(group)
    before = redis.call('HGET', key, group)
  end
  redis.call('HSET', key, group, added_up(before or NOTHING, amounts))
  if not before then redis.call('PEXPIRE', key, int(days * 86400000)) end
end

-- Collects a script's additions to the roll-ups per group, so that a batch of entries writes each group once.
local function open_books()
  return {keep = redis.call('HMGET', BOOKS, 'max_calls', 'calls_days', 'hours_days', 'days_days', 'groups_of_key'), groups = {}, endings = open_endings()}
end

local function close_books(books, now)
  close_endings(books.endings, now)
  if not next(books.groups) then return end
  local date, hour = hour_name(now)
  local hour_key = 'finops:usage:h:' .. hour
  if redis.call('EXISTS', hour_key) == 0 then
    redis.call('XTRIM', ENTRIES, 'MINID', '~', int(now - num(books.keep[2] or 30) * 86400000))
  end
  local most_of_key = num(books.keep[5] or MAX_GROUPS_OF_KEY)
  for group, amounts in pairs(books.groups) do
    add_to_rollup(hour_key, group, amounts, num(books.keep[3] or 35), most_of_key)
    add_to_rollup('finops:usage:d:' .. date, group, amounts, num(books.keep[4] or 400), most_of_key)
  end
end

local function book(books, json, entry)
  redis.call('XADD', ENTRIES, 'MAXLEN', '~', books.keep[1] or '1000000', '*', 'json', json)
  local group = {}
  for i, name in ipairs(GROUP) do
    group[i] = name == 'dims' and dimensions_of(entry) or tostring(entry[name] or '')
  end
  group = table.concat(group, '\31')
  if entry.lane then group = group .. '\31' .. entry.lane end  -- of jobs that can wait; other groups are as they always were
  local amounts = books.groups[group]
  if not amounts then
    amounts = {}
    for i = 1, #SUMS do amounts[i] = 0 end
    books.groups[group] = amounts
  end
  amounts[1] = amounts[1] + 1
  if num(entry.status) >= 400 then amounts[2] = amounts[2] + 1 end
  if entry.priced == false then amounts[3] = amounts[3] + 1 end
  for i = 4, #SUMS do
    local n = entry[SUMS[i]]
    if n then amounts[i] = amounts[i] + num(n) end
  end
  if entry.lane then
    for i, name in ipairs(OF_PATIENCE) do amounts[#SUMS + i] = (amounts[#SUMS + i] or 0) + num(entry[name]) end
  end
  if entry.cache == 'hit' then amounts[HITS] = amounts[HITS] + 1 end
end

-- Books an outcome and ends its hold, by what the entry says; 'also': a further hold of an outcome that is booked.
-- Books that are given are the caller's to close.
local function settle_outcome(hold, state, json, now, books)
  local entry = json ~= '' and cjson.decode(json) or {}
  if json ~= '' and state ~= 'also' then
    local mine = books or open_books()
    book(mine, json, entry)
    if not books then close_books(mine, now) end
  end
  if state == 'also' then state = 'settled' end
  if hold == '' then return end
  local cost, tokens = num(entry.cost), num(entry.input) + num(entry.output)
  if state == 'released' then cost, tokens = 0, 0 end
  end_hold(hold, state, cost, tokens, now, entry.scopes, books and books.endings)
end
