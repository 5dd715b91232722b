-- The books: one entry per outcome in the ledger, and its numbers in the roll-ups of its hour and its day.
local BOOKS = 'finops:books'
local ENTRIES = 'finops:ledger'
local GROUP = {'key', 'name', 'team', 'customer', 'provider', 'model', 'type', 'dims'}
local SUMS = {'calls', 'errors', 'unpriced', 'input', 'output', 'cached', 'reasoning', 'cost', 'list', 'latency_ms', 'attempts'}
local NOTHING = string.rep('0,', #SUMS)

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

local function add_to_rollup(key, group, amounts, days)
  local before = call('HGET', key, group)
  local sums, i = {}, 0
  for n in string.gmatch(before or NOTHING, '[^,]+') do
    i = i + 1
    sums[i] = int(num(n) + amounts[i])
  end
  call('HSET', key, group, table.concat(sums, ','))
  if not before then call('PEXPIRE', key, int(days * 86400000)) end
end

local function book(json, entry, now)
  local keep = call('HMGET', BOOKS, 'max_calls', 'calls_days', 'hours_days', 'days_days')
  call('XADD', ENTRIES, 'MAXLEN', '~', keep[1] or '1000000', '*', 'json', json)
  local group, amounts = {}, {}
  for i, name in ipairs(GROUP) do
    group[i] = name == 'dims' and dimensions_of(entry) or tostring(entry[name] or '')
  end
  group = table.concat(group, '\31')
  for i, name in ipairs(SUMS) do amounts[i] = num(entry[name]) end
  amounts[1] = 1
  amounts[2] = num(entry.status) >= 400 and 1 or 0
  amounts[3] = entry.priced == false and 1 or 0
  local date, hour = hour_name(now)
  local hour_key = 'finops:usage:h:' .. hour
  if call('EXISTS', hour_key) == 0 then
    call('XTRIM', ENTRIES, 'MINID', '~', int(now - num(keep[2] or 30) * 86400000))
  end
  add_to_rollup(hour_key, group, amounts, num(keep[3] or 35))
  add_to_rollup('finops:usage:d:' .. date, group, amounts, num(keep[4] or 400))
end

-- Books an outcome and ends its hold, by what the entry says; 'also': a further hold of an outcome that is booked.
local function settle_outcome(hold, state, json, now)
  local entry = json ~= '' and cjson.decode(json) or {}
  if json ~= '' and state ~= 'also' then book(json, entry, now) end
  if state == 'also' then state = 'settled' end
  if hold == '' then return end
  local cost, tokens = num(entry.cost), num(entry.input) + num(entry.output)
  if state == 'released' then cost, tokens = 0, 0 end
  end_hold(hold, state, cost, tokens, now, entry.scopes)
end
