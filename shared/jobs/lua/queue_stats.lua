-- Per priority the number of due jobs and the age of the oldest in ms; deferred, running and dead jobs; waiting jobs per
-- caller; and the number of pauses.
local function queue_stats(now)
  local priorities = {}
  for _, priority in ipairs(PRIORITIES) do
    local oldest = redis.call('ZRANGE', QUEUE[priority], '0', '0', 'WITHSCORES')
    local age = oldest[2] and math.max(0, now - num(oldest[2])) or 0
    priorities[#priorities + 1] = {priority, redis.call('ZCOUNT', QUEUE[priority], '-inf', int(now)), int(age)}
  end
  return {priorities, redis.call('ZCARD', DEFERRED), redis.call('ZCARD', LEASES), redis.call('ZCARD', DEAD),
    redis.call('ZREVRANGE', WAITING, '0', '999', 'WITHSCORES'), redis.call('HLEN', 'finops:jobs:pauses')}
end
