#!lua
-- Stores an entry, and removes those that expire first until all fit.
-- ARGV: entry id, bytes, life in ms, most bytes of all entries, expiry in ms since 1970, now in ms. KEYS: entry, ages, sizes.
local ENTRY, AGES, SIZES = KEYS[1], KEYS[2], KEYS[3]
local id, value, life_ms, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local expires_ms, now_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
local prefix = string.sub(ENTRY, 1, #ENTRY - #id)
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

local gone = redis.call('ZRANGEBYSCORE', AGES, '-inf', now_ms, 'LIMIT', 0, 64)
if #gone > 0 then
  redis.call('ZREM', AGES, unpack(gone))
  forget(gone)
end
forget({id})
redis.call('SET', ENTRY, value, 'PX', life_ms)
redis.call('ZADD', AGES, expires_ms, id)
redis.call('HSET', SIZES, id, #value)
local total = redis.call('HINCRBY', SIZES, TOTAL, #value)
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
