#!lua
--!include prelude.lua
-- Lets a call pass all the limits that bind it, or none. Arguments: id, how long its hold lasts without renewal (ms),
-- estimated cost, estimated tokens, clock ('' the server's own), what a run counts it as (calls or jobs), least cost,
-- '1' if its whole cost must fit, then per limit: kind, meter (requests, tokens or cost: what it counts), scope, window, amount. Where budgets have less
-- left than the estimated cost, what they have is reserved, but never less than the least cost (its caller limits the
-- call accordingly). Money and tokens are let pass while anything is left, so that the last call may exceed them by its
-- own estimate and no more; requests are counted exactly, and stay counted. Answers {0, facts, reserved cost} or {number
-- of the refusing limit, facts, 0}, with facts as used, held, milliseconds to the window's end (or to the first room,
-- when refused) and the amount that binds per limit.
local id, keep, cost, tokens = ARGV[1], num(ARGV[2]), num(ARGV[3]), num(ARGV[4])
local now = ARGV[5] ~= '' and num(ARGV[5]) or now_ms()
local hold = redis.call('HMGET', hold_key(id), 'state', 'cost')
local known, least, whole = hold[1] == 'held', num(ARGV[7]), ARGV[8] == '1'

-- The meters as they stand, the number of the one that refuses (0: none), and the cost that budgets have left.
local function weigh()
  local meters, refused, left = {}, 0, cost
  for at = 9, #ARGV, 5 do
    local counts = ARGV[at + 1]
    local m = read_meter(ARGV[at], ARGV[at + 2], ARGV[at + 3], num(ARGV[at + 4]), now)
    m.counts = counts
    meters[#meters + 1] = m
    -- An existing run's cap is lowered whether this call passes or not: its caller says how much the run may cost.
    if m.lowers and m.run_exists then redis.call('HSET', m.key, 'budget', int(m.limit)) end
    local limit = m.limit
    if limit >= 0 then
      local taken = m.used + m.held
      local over = taken >= limit
      if counts == 'cost' then
        if whole and taken + cost > limit then over = true end
        if limit - taken < left then left = math.min(left, math.max(least, limit - taken)) end
      end
      if over and not known and refused == 0 then refused = #meters end
    end
  end
  return meters, refused, left
end

local meters, refused, left = weigh()
-- Whoever books ends expired holds; here it is done where one may stand in a call's way (5 us a call otherwise).
if (refused > 0 or left < cost) and sweep_holds(now) then meters, refused, left = weigh() end
cost = left
local facts, n = {}, 0
for i, m in ipairs(meters) do
  local until_ms = (i == refused and m.frees or m.ends) - now
  facts[n + 1], facts[n + 2], facts[n + 3], facts[n + 4] = m.used, m.held, until_ms > 0 and until_ms or 0, m.limit
  n = n + 4
end
if refused > 0 then return {refused, facts, 0} end
if known then return {0, facts, num(hold[2])} end

local amounts = {requests = 1, tokens = tokens, cost = cost}
local kept = {}
for _, m in ipairs(meters) do
  if m.counts == 'requests' then
    add_to_meter(m, 'u', 1)
  else
    if m.window == 'run' then use_run(m, ARGV[6], now) end
    add_to_meter(m, 'h', amounts[m.counts])
    -- Thresholds of runs raise no alerts: there may be thousands an hour.
    kept[#kept + 1] = {m.key, m.at, m.counts, m.window == 'run' and 0 or m.limit, m.scope, m.window}
  end
end
if #kept > 0 then
  redis.call('HSET', hold_key(id), 'state', 'held', 'cost', int(cost), 'tokens', int(tokens), 'meters', cjson.encode(kept))
  redis.call('PEXPIRE', hold_key(id), int(keep + ENDED_MS))
  redis.call('ZADD', HOLDS, int(now + keep), id)
end
return {0, facts, cost}
