-- Meters count what is used and what is held, per scope, kind (requests, tokens, cost) and window; holds remember what a
-- call or job has reserved, until it is settled, released, or past its deadline. Includers have `call`, `int`, `num`.
local HOLDS = 'finops:holds'
local ALERTS = 'finops:alerts'
local ENDED_MS = 86400000       -- an expired hold is remembered for a day: a late settlement still finds its meters
local SETTLED_MS = 600000       -- a settled one for ten minutes: each call under a limit leaves one, 100/s 60,000 of them
local GRACE_MS = 3600000        -- a meter outlives its window, for late readers
local UNIT_MS = {m = 60000, h = 3600000, d = 86400000, w = 604800000, M = 2592000000}
local SLICES = 60
local RUN_MS = 30 * UNIT_MS.d   -- a run is forgotten when it has not been used for so long
local RUNS = 'finops:runs'
local RAISES = 'finops:raises'
local MAX_RUNS = 100000
local MAX_VALUES = 100000       -- of one dimension in one window; a meter takes about 150 bytes

local function hold_key(id) return 'finops:hold:' .. id end

-- Days since 1970 to year, month, day, and back; Howard Hinnant's algorithms,
-- https://howardhinnant.github.io/date_algorithms.html
local function civil(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - math.floor((153 * mp + 2) / 5) + 1
end

local function days_of(year, month, day)
  local y = month <= 2 and year - 1 or year
  local era = math.floor(y / 400)
  local yoe = y - era * 400
  local doy = math.floor((153 * (month > 2 and month - 3 or month + 9) + 2) / 5) + day - 1
  return era * 146097 + yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy - 719468
end

-- Start and end of the window around now; of a rolling one the slice's start, and when it is counted no more; of a run
-- its end if it is not used again.
local function window_of(name, now)
  if name == 'run' then return now, now + RUN_MS end
  if string.byte(name) ~= 49 then  -- not '1': rolling
    local count, unit = string.match(name, '^rolling:(%d+)(%a)$')
    local slice = math.floor(UNIT_MS[unit] * num(count) / SLICES)
    local start = now - now % slice
    return start, start + slice * (SLICES + 1), slice
  end
  local unit = string.sub(name, 2)
  if unit == 'M' then
    local year, month = civil(math.floor(now / 86400000))
    local start = days_of(year, month, 1) * 86400000
    if month == 12 then year, month = year + 1, 0 end
    return start, days_of(year, month + 1, 1) * 86400000
  end
  local shift = unit == 'w' and 3 * UNIT_MS.d or 0
  local start = now - (now + shift) % UNIT_MS[unit]
  return start, start + UNIT_MS[unit]
end

-- How much a budget is raised now. One command for a call under budgets where none is raised; 0.4 us of the store's CPU.
local raises
local function raised_by(scope, window, now)
  if raises == nil then raises = redis.call('EXISTS', RAISES) == 1 end
  local raised = raises and redis.call('HGET', RAISES, 'budget:' .. scope .. ':' .. window)
  if not raised then return 0 end
  local amount, until_ms = string.match(raised, '^(%d+) (%d+) ')
  return num(until_ms) > now and num(amount) or 0
end

-- Callers name the values of dimensions and their end users: past MAX_VALUES in a window, new ones share one meter.
local function bound_values(m, kind, window, start, slice, now)
  local first = string.byte(m.scope)
  if first ~= 100 and first ~= 117 then return end  -- neither 'dimension' nor 'user': as cheap as it gets for all others
  local base = string.match(m.scope, '^(dimension:[^:]+):') or string.match(m.scope, '^(user):')
  if not base or redis.call('EXISTS', m.key) == 1 then return end
  local since = slice and now - now % (slice * SLICES) or start
  local values = 'finops:values:' .. kind .. ':' .. base .. ':' .. window .. ':' .. int(since)
  if num(redis.call('GET', values)) < MAX_VALUES then
    m.values = values
  else
    m.key = string.gsub(m.key, '^(finops:meter:' .. kind .. ':).*$', '%1') .. base .. ':(other):' .. window
    if not slice then m.key = m.key .. ':' .. int(start) end
  end
end

-- A meter as it stands: key, suffix of its fields ('' or the slice), used, held, when room comes back, the amount that
-- binds. A run's cap is the lowest that any of its requests asked for; below 0: none.
local function read_meter(kind, scope, window, amount, now)
  local start, ends, slice = window_of(window, now)
  -- With all its fields at once: each table that grows is copied, twice for each limit.
  local m = {kind = kind, scope = scope, window = window, ends = ends, used = 0, held = 0, limit = amount, key = '',
    at = '', new = false, counts = ''}
  if window == 'run' then
    m.key, m.at = 'finops:' .. scope, ''
    local f = redis.call('HMGET', m.key, 'u', 'h', 'budget', 'created_ms', 'used_ms')
    m.used, m.held, m.run_exists, m.used_ms, m.new = num(f[1]), num(f[2]), f[4], num(f[5]), not f[1] and not f[2]
    local cap = f[3] and num(f[3]) or -1
    m.lowers = amount >= 0 and (cap < 0 or amount < cap)
    if not m.lowers then m.limit = cap end
    return m
  end
  if kind == 'cost' then m.limit = amount + raised_by(scope, window, now) end
  if not slice then
    m.key, m.at = 'finops:meter:' .. kind .. ':' .. scope .. ':' .. window .. ':' .. int(start), ''
    bound_values(m, kind, window, start, slice, now)
    local f = redis.call('HMGET', m.key, 'u', 'h')
    m.used, m.held, m.new = num(f[1]), num(f[2]), not f[1] and not f[2]
    return m
  end
  m.key, m.at = 'finops:meter:' .. kind .. ':' .. scope .. ':' .. window, int(start)
  bound_values(m, kind, window, start, slice, now)
  local oldest, first = start - slice * SLICES, nil
  local f = redis.call('HGETALL', m.key)
  m.new = true
  for i = 1, #f, 2 do
    local when = num(string.sub(f[i], 2))
    if when == start then m.new = false end
    if when < oldest then
      redis.call('HDEL', m.key, f[i])
    else
      local name = string.sub(f[i], 1, 1) == 'u' and 'used' or 'held'
      m[name] = m[name] + num(f[i + 1])
      if num(f[i + 1]) > 0 and (not first or when < first) then first = when end
    end
  end
  m.frees = (first or start) + slice * (SLICES + 1)
  return m
end

-- Adds to a meter that was read before. Its end is that of its window or slice, and set with the first addition.
local function add_to_meter(m, field, amount)
  redis.call('HINCRBY', m.key, field .. m.at, int(amount))
  if m.new then redis.call('PEXPIREAT', m.key, int(m.ends + GRACE_MS)) end
  if m.values then
    redis.call('INCR', m.values)
    redis.call('PEXPIREAT', m.values, int(m.ends + GRACE_MS))
  end
end

-- Notes that a run is used: one call or job more, its cap if that is new or lower, and at most once a second the time and
-- its place in the list of runs; that is six commands less for each call of a busy run.
local function use_run(m, counter, now)
  redis.call('HINCRBY', m.key, counter, 1)
  if m.lowers then redis.call('HSET', m.key, 'budget', int(m.limit)) end
  if now - m.used_ms < 1000 then return end
  redis.call('PEXPIREAT', m.key, int(m.ends + GRACE_MS))
  redis.call('HSET', m.key, 'used_ms', int(now), 'created_ms', m.run_exists or int(now))
  redis.call('ZADD', RUNS, int(now), string.sub(m.scope, 5))
  redis.call('ZREMRANGEBYSCORE', RUNS, '-inf', int(now - RUN_MS))
  redis.call('ZREMRANGEBYRANK', RUNS, 0, -MAX_RUNS - 1)
  redis.call('PEXPIRE', RUNS, int(RUN_MS))
end

-- Adds an entry to the stream of alerts, once until a time: fields are its names and values.
local function alert_once(once, until_ms, fields)
  if redis.call('SET', 'finops:alerted:' .. once, '1', 'NX', 'PXAT', int(until_ms)) then
    return redis.call('XADD', ALERTS, 'MAXLEN', '~', '10000', '*', unpack(fields))
  end
end

-- Alerts once per window that a share of a budget is spent.
local thresholds
local function alert_thresholds(meter, before, after, now)
  local limit = meter.limit
  if not limit or limit <= 0 then return end
  if not thresholds then
    thresholds = {}
    local stored = redis.call('HGET', 'finops:books', 'thresholds') or '50,80,100'
    for percent in string.gmatch(stored, '%d+') do thresholds[#thresholds + 1] = percent end
  end
  for _, percent in ipairs(thresholds) do
    local mark = limit * percent / 100
    if before < mark and after >= mark then
      local _, ends = window_of(meter.window, now)
      alert_once(percent .. ':' .. meter.key, ends + GRACE_MS, {'kind', 'budget.threshold', 'scope', meter.scope,
        'window', meter.window, 'percent', percent, 'limit', int(limit), 'used', int(after)})
    end
  end
end

-- Tells whether a meter counts a call: those of providers and models only if they answered it.
local function concerns(scope, scopes)
  if not scopes or not (string.match(scope, '^provider:') or string.match(scope, '^model:')) then return true end
  for _, mine in ipairs(scopes) do
    if mine == scope then return true end
  end
  return false
end

-- Subtracts what was held from a meter and adds what was used. Without what is held, its window or slice is over and
-- deleted: nothing is counted in it any more.
local function change_meter(m, held, amount, now)
  local key, at = m[1], m[2]
  local stored = redis.call('HMGET', key, 'u' .. at, 'h' .. at)
  if not stored[2] then return end
  local after = num(stored[1]) + amount
  redis.call('HSET', key, 'h' .. at, int(num(stored[2]) - held), 'u' .. at, int(after))
  if amount <= 0 or m[3] ~= 'cost' then return end
  local meter = {key = key, limit = m[4], scope = m[5], window = m[6]}
  if at ~= '' then after = read_meter(string.match(key, '^finops:meter:([^:]+)'), m[5], m[6], 0, now).used end
  alert_thresholds(meter, after - amount, after, now)
end

-- What the ends of a batch of holds change: each meter is written once for all of them, and the list of holds too.
local function open_endings() return {held = {}, used = {}, meters = {}, names = {}, ids = {}} end

local function close_endings(endings, now)
  for _, name in ipairs(endings.names) do  -- in the order of the calls, so that their alerts are
    change_meter(endings.meters[name], endings.held[name], endings.used[name], now)
  end
  if #endings.ids > 0 then redis.call('ZREM', HOLDS, unpack(endings.ids)) end
end

-- Ends a hold: its estimates leave the meters, actual usage is added. Exactly once per hold; an expired one is still
-- found for as long as it is stored. Endings that are given are the caller's to close.
local function end_hold(id, state, cost, tokens, now, scopes, endings)
  local key = hold_key(id)
  local f = redis.call('HMGET', key, 'state', 'cost', 'tokens', 'meters')
  local before = f[1]
  if not before or before == 'settled' or before == 'released' or before == state then return 0 end
  local mine = endings or open_endings()
  for _, m in ipairs(cjson.decode(f[4])) do
    local is_cost = m[3] == 'cost'
    local held = before == 'held' and num(is_cost and f[2] or f[3]) or 0
    local amount = is_cost and cost or tokens
    if scopes and not concerns(m[5], scopes) then amount = 0 end
    if held > 0 or amount > 0 then
      local name = m[1] .. m[2]
      if not mine.meters[name] then mine.names[#mine.names + 1] = name end
      mine.held[name] = (mine.held[name] or 0) + held
      mine.used[name] = (mine.used[name] or 0) + amount
      mine.meters[name] = m
    end
  end
  redis.call('HSET', key, 'state', state)
  redis.call('PEXPIRE', key, state == 'expired' and ENDED_MS or SETTLED_MS)
  mine.ids[#mine.ids + 1] = id
  if not endings then close_endings(mine, now) end
  return 1
end

-- Whether none of some calls or jobs has reserved anything.
local function have_no_hold(ids)
  local holds = {}
  for i, id in ipairs(ids) do holds[i] = hold_key(id) end
  return redis.call('EXISTS', unpack(holds)) == 0
end

-- Keeps a settled hold for a retry, which counts under the same limits.
local function keep_hold(id, ms) redis.call('PEXPIRE', hold_key(id), int(ms)) end

-- Extends a hold that is still open.
local function prolong_hold(id, until_ms, now)
  if redis.call('ZADD', HOLDS, 'XX', 'CH', int(until_ms), id) == 1 then
    redis.call('PEXPIRE', hold_key(id), int(until_ms - now + ENDED_MS))
  end
end

-- Reopens the hold of a job that runs again: its cost counts, even without a new reservation.
local function reopen_hold(id)
  local state = redis.call('HGET', hold_key(id), 'state')
  if state and state ~= 'held' then redis.call('HSET', hold_key(id), 'state', 'expired') end
end

-- Ends expired holds; whether there were any.
local function sweep_holds(now)
  local expired = redis.call('ZRANGEBYSCORE', HOLDS, '-inf', int(now), 'LIMIT', '0', '20')
  for _, id in ipairs(expired) do
    if end_hold(id, 'expired', 0, 0, now) == 0 then redis.call('ZREM', HOLDS, id) end
  end
  return #expired > 0
end
