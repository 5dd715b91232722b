-- Pauses: which waiting jobs no claim takes. Includers have prelude.lua. A paused caller is taken off the lists of those
-- who compete, and paused priorities are not served; a job that is paused for its team, provider or model is set aside
-- when it would have been claimed, and comes back to its old place when a pause ends.
local PAUSES = 'finops:jobs:pauses'
local SET_ASIDE = 'finops:jobs:set-aside'
local COMING_BACK = 'finops:jobs:coming-back'
local AT_ONCE = 200

local function wake_all()
  for _, priority in ipairs(PRIORITIES) do push_wake(priority, 1) end
end

local function relist(name)
  if redis.call('EXISTS', caller_key(name)) == 0 then return end
  local c = caller_of(name)
  catch_up(c, 'normal')
  for _, priority in ipairs(PRIORITIES) do c.priorities[priority] = true end
  settle()
end

local function end_pause(scope)
  if redis.call('HDEL', PAUSES, scope) == 0 then return 0 end
  local kind, name = string.match(scope, '^(%a+):?(.*)$')
  if kind == 'key' then
    relist(name)
  elseif kind ~= 'all' and kind ~= 'priority' and redis.call('EXISTS', SET_ASIDE) == 1 then
    if redis.call('EXISTS', COMING_BACK) == 0 then
      redis.call('RENAME', SET_ASIDE, COMING_BACK)
    else
      redis.call('ZUNIONSTORE', COMING_BACK, '2', COMING_BACK, SET_ASIDE, 'AGGREGATE', 'MIN')
      redis.call('DEL', SET_ASIDE)
    end
  end
  wake_all()
  return 1
end

-- Ends what is over, brings jobs back, and answers the rules of this claim; nil when nothing is paused (any more).
local function pause_rules(now)
  local raw = redis.call('HGETALL', PAUSES)
  local rules = {priorities = {}, keys = {}, jobs = {}}
  local any = false
  for i = 1, #raw, 2 do
    local pause = cjson.decode(raw[i + 1])
    if type(pause.until_ms) == 'number' and pause.until_ms <= now then
      end_pause(raw[i])
    else
      any = true
      if pause.kind == 'all' then rules.all = true
      elseif pause.kind == 'priority' then rules.priorities[pause.name] = true
      elseif pause.kind == 'key' then rules.keys[pause.name] = true
      else rules.jobs[#rules.jobs + 1] = pause end
    end
  end
  local back = redis.call('ZPOPMIN', COMING_BACK, AT_ONCE)
  for i = 1, #back, 2 do
    local job = read_job(back[i])
    if job and job.state == 'queued' then make_ready(job, num(redis.call('ZSCORE', QUEUE[job.priority], job.id) or now)) end
  end
  settle()
  if not any and redis.call('EXISTS', COMING_BACK, SET_ASIDE) == 0 then
    redis.call('HDEL', CLOCK, 'pauses')
    return nil
  end
  return rules
end

local function glob(parts, text)
  if #parts == 1 then return text == parts[1] end
  if string.sub(text, 1, #parts[1]) ~= parts[1] then return false end
  local at = #parts[1] + 1
  for i = 2, #parts - 1 do
    local _, last = string.find(text, parts[i], at, true)
    if not last then return false end
    at = last + 1
  end
  local tail = parts[#parts]
  return #text - #tail + 1 >= at and string.sub(text, #text - #tail + 1) == tail
end

-- Tells whether a pause of a team, provider or model holds for a job.
local function set_aside(rules, model, labels)
  for _, pause in ipairs(rules.jobs) do
    if pause.kind == 'team' then
      if string.find(labels, pause.line, 1, true) then return true end
    else
      local full = string.lower(string.find(model, '/', 1, true) and model or pause.default_provider .. '/' .. model)
      if pause.kind == 'provider' then
        if string.match(full, '^[^/]*') == string.lower(pause.name) then return true end
      elseif glob(pause.parts, full) or glob(pause.parts, string.match(full, '/(.*)$')) then
        return true
      end
    end
  end
  return false
end
