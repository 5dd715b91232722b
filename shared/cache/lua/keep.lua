#!lua
-- Stores entries, and removes those that expire first until all fit.
-- ARGV: most bytes of all entries, now in ms since 1970; of each entry its id, bytes and life in ms. KEYS: ages, sizes, the entries.
local AGES, SIZES = KEYS[1], KEYS[2]
local most, now_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local count = math.floor((#ARGV - 2) / 3)
local prefix = string.sub(KEYS[3], 1, #KEYS[3] - #ARGV[3])
local TOTAL = 'total'

local function forget(ids)
  for _, each in ipairs(ids) do
    local size = tonumber(redis.call('HGET', SIZES, each) or 0)
    -- Redis would be sent "-0", which it takes for no integer (Valkey: 0).
    if size > 0 then
      redis.call('HDEL', SIZES, each)
      redis.call('HINCRBY', SIZES, TOTAL, -size)
    end
  end
end

-- More than are stored, so that their number falls.
local gone = redis.call('ZRANGEBYSCORE', AGES, '-inf', now_ms, 'LIMIT', 0, 64 + count)
if #gone > 0 then
  redis.call('ZREM', AGES, unpack(gone))
  forget(gone)
end
local total = 0
for i = 1, count do
  local id, value, life_ms = ARGV[3 * i], ARGV[3 * i + 1], tonumber(ARGV[3 * i + 2])
  forget({id})
  redis.call('SET', KEYS[2 + i], value, 'PX', life_ms)
  redis.call('ZADD', AGES, now_ms + life_ms, id)
  redis.call('HSET', SIZES, id, #value)
  total = redis.call('HINCRBY', SIZES, TOTAL, #value)
end
local removed = 0
while total > most do
  local oldest = redis.call('ZPOPMIN', AGES, 32)
  if #oldest == 0 then break end
  local ids = {}
  for i = 1, #oldest, 2 do
    ids[#ids + 1] = oldest[i]
    redis.call('UNLINK', prefix .. oldest[i])
  end
  forget(ids)
  removed = removed + #ids
  total = tonumber(redis.call('HGET', SIZES, TOTAL) or 0)
end
return {total, removed}
