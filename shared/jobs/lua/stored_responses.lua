-- Bytes of the responses that a caller keeps, by the day they expire in; their sum is a field of its other bytes.
local DAY_MS = 86400000
local function responses_key(caller) return 'finops:stored:' .. caller .. ':responses' end
local function day_of(ms) return int(ms / DAY_MS) end

-- Adds to what a caller keeps, and forgets what has expired.
local function count_responses(caller, now, day, bytes)
  local key, today, total = responses_key(caller), math.floor(now / DAY_MS), 0
  if bytes ~= 0 then redis.call('HINCRBY', key, day, int(bytes)) end
  local f = redis.call('HGETALL', key)
  for i = 1, #f, 2 do
    if tonumber(f[i]) < today or num(f[i + 1]) <= 0 then
      redis.call('HDEL', key, f[i])
    else
      total = total + num(f[i + 1])
    end
  end
  redis.call('PEXPIRE', key, int(2 * LIVE_MS))
  if total > 0 then
    redis.call('HSET', stored_key(caller), 'responses', int(total))
    redis.call('PEXPIRE', stored_key(caller), int(2 * LIVE_MS))
  else
    redis.call('HDEL', stored_key(caller), 'responses')
  end
end

-- The bytes that a caller keeps, if with further ones they are more than it may; false: there is room.
local function overfull(caller, now, further, most)
  local stored = stored_bytes(caller, now)
  if stored + further <= most then return false end
  count_responses(caller, now, '', 0)  -- some may have expired
  stored = stored_bytes(caller, now)
  return stored + further > most and stored
end

-- Takes a stored response out of the count: from the days that end first, as reading one has put its end off.
local function uncount_response(key, caller, now)
  local left, days = redis.call('STRLEN', key), {}
  if left == 0 then return end
  for _, day in ipairs(redis.call('HKEYS', responses_key(caller))) do days[#days + 1] = tonumber(day) end
  table.sort(days)
  for _, day in ipairs(days) do
    local taken = math.min(left, num(redis.call('HGET', responses_key(caller), int(day))))
    redis.call('HINCRBY', responses_key(caller), int(day), int(-taken))
    left = left - taken
  end
  count_responses(caller, now, '', 0)
end
