-- Fair shares. Callers are read once per script and written back by settle().
local callers = {}
local vtime_read
local function vtime()
  if not vtime_read then vtime_read = num(redis.call('HGET', CLOCK, 'vtime')) end
  return vtime_read
end

local function parked(c) return c.limit > 0 and c.running >= c.limit end

local function caller_of(name)
  local c = callers[name]
  if c then return c end
  local f = redis.call('HMGET', caller_key(name), 'tag', 'running', 'waiting', 'weight', 'limit', 'day')
  c = {
    name = name, tag = num(f[1]), running = num(f[2]), waiting = num(f[3]), weight = tonumber(f[4] or 1) or 1,
    limit = num(f[5]), priorities = {}, filled = {}, woken = {}, standing = {}, fresh = not f[4], day = f[6],
  }
  c.was_parked = parked(c)
  c.was_waiting, c.was_running, c.was_tag = c.waiting, c.running, f[1] and c.tag
  c.was_weight, c.was_limit, c.was_day = f[4] and c.weight, f[5] and c.limit, c.day
  callers[name] = c
  return c
end

-- Tells whether a caller competed when the script began; checks the likeliest priority first and keeps what it read.
local function competes(c, likely)
  if c.was_waiting == 0 then return false end
  local function is_in(priority)
    c.standing[priority] = tonumber(redis.call('ZSCORE', callers_key(priority), c.name) or nil)
    return c.standing[priority]
  end
  if is_in(likely) then return true end
  for _, priority in ipairs(PRIORITIES) do
    if priority ~= likely and is_in(priority) then return true end
  end
  return false
end

-- A caller that competes again starts at the current virtual time: idle time is not saved up.
local function catch_up(c, likely)
  if c.caught_up then return end
  c.caught_up = true
  if not competes(c, likely) then c.tag = math.max(c.tag, vtime()) end
end

local function push_wake(priority, tokens)
  local length = 0
  for _ = 1, math.min(tokens, 64) do length = redis.call('RPUSH', wake_key(priority), '1') end
  if length > 128 then redis.call('LTRIM', wake_key(priority), '0', '63') end  -- rarely: only without idle workers
end

-- Idle workers check for due jobs every half second; a job due sooner wakes one, so that it waits no longer than that.
local function wake_for_soon(priority, delay)
  if delay < 500 then push_wake(priority, 1) end
end

-- In each changed priority, a caller is listed exactly when it has ready jobs there and may start one.
local function update_listing(c, priority, away)
  if not away and (c.filled[priority] or redis.call('EXISTS', ready_key(priority, c.name)) == 1) then
    if c.standing[priority] ~= c.tag then redis.call('ZADD', callers_key(priority), exact(c.tag), c.name) end
    if c.woken[priority] then push_wake(priority, c.woken[priority]) end
  else
    redis.call('ZREM', callers_key(priority), c.name)
  end
end

local unleased = {}  -- jobs that no longer run: their leases are removed in one command
local ended, ended_ids = {}, {}  -- by state: creation and id of jobs that have ended, likewise
local priced, price_of = {}, {}  -- jobs that have ended with a known cost, and that cost

local function write_caller(c)
  local changed = {}
  local function note(field, value, was, form)
    if value ~= was then
      changed[#changed + 1] = field
      changed[#changed + 1] = form(value)
    end
  end
  note('tag', c.tag, c.was_tag, exact)
  note('running', c.running, c.was_running, int)
  note('waiting', c.waiting, c.was_waiting, int)
  note('weight', c.weight, c.was_weight, exact)
  note('limit', c.limit, c.was_limit, int)
  note('day', c.day, c.was_day, tostring)
  if #changed > 0 then redis.call('HSET', caller_key(c.name), unpack(changed)) end
end

local function list_ended(id, state, created)
  local entries = ended[state] or {}
  ended[state] = entries
  entries[#entries + 1] = created
  entries[#entries + 1] = id
  ended_ids[#ended_ids + 1] = id
end

-- Lists what ended jobs cost, of those that the list of all jobs still holds: it bounds the set.
local function list_costs()
  local entries = {}
  for i, created in ipairs(redis.call('ZMSCORE', ALL, unpack(priced))) do
    if created then
      entries[#entries + 1] = price_of[i]
      entries[#entries + 1] = priced[i]
    end
  end
  if #entries > 0 then redis.call('ZADD', COSTS, unpack(entries)) end
  priced, price_of = {}, {}
end

local function settle()
  if #unleased > 0 then
    redis.call('ZREM', LEASES, unpack(unleased))
    unleased = {}
  end
  if #ended_ids > 0 then
    redis.call('ZREM', LIVE, unpack(ended_ids))
    for state, entries in pairs(ended) do redis.call('ZADD', ended_key(state), unpack(entries)) end
    ended, ended_ids = {}, {}
  end
  if #priced > 0 then list_costs() end
  for name, c in pairs(callers) do
    local away = parked(c)
    if away ~= c.was_parked then
      if not away then catch_up(c, 'normal') end
      for _, priority in ipairs(PRIORITIES) do
        c.priorities[priority] = true
        if not away and not c.woken[priority] then c.woken[priority] = 1 end
      end
    end
    for priority in pairs(c.priorities) do update_listing(c, priority, away) end
    write_caller(c)
    local idle = c.running == 0 and c.waiting == 0
    if idle or c.fresh then redis.call('PEXPIRE', caller_key(name), int(idle and IDLE_MS or LIVE_MS + IDLE_MS)) end
    if c.waiting > 0 then
      if c.waiting ~= c.was_waiting then redis.call('ZADD', WAITING, int(c.waiting), name) end
    elseif c.was_waiting > 0 then
      redis.call('ZREM', WAITING, name)
    end
  end
  callers = {}
end

-- Ready: claimable from now on, in its caller's list of its priority, in the order of its sequence number.
local function make_ready(job, now)
  local c = caller_of(job.caller)
  catch_up(c, job.priority)
  redis.call('ZADD', ready_key(job.priority, job.caller), int(job.seq), job.id)
  redis.call('ZADD', QUEUE[job.priority], int(now), job.id)
  c.priorities[job.priority] = true
  c.filled[job.priority] = true
  c.fresh = true
  c.woken[job.priority] = (c.woken[job.priority] or 0) + 1
end

-- Takes a waiting job out of every set of waiting jobs.
local function leave_waiting(job)
  local c = caller_of(job.caller)
  redis.call('ZREM', QUEUE[job.priority], job.id)
  if job.state == 'queued' then
    if redis.call('ZREM', ready_key(job.priority, job.caller), job.id) == 0 then  -- set aside by a pause
      redis.call('ZREM', 'finops:jobs:set-aside', job.id)
      redis.call('ZREM', 'finops:jobs:coming-back', job.id)
    end
    c.priorities[job.priority] = true
    c.filled[job.priority] = nil
  else
    redis.call('ZREM', DEFERRED, job.id)
  end
  c.waiting = math.max(0, c.waiting - 1)
  if job.deadline > 0 then redis.call('ZREM', DEADLINES, job.id) end
end

local function leave_running(job)
  unleased[#unleased + 1] = job.id
  local c = caller_of(job.caller)
  c.running = math.max(0, c.running - 1)
end
