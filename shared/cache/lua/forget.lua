#!lua
-- Removes entries. ARGV: ids. KEYS: ages, sizes, then their keys.
local AGES, SIZES = KEYS[1], KEYS[2]
local removed = 0
for i, id in ipairs(ARGV) do
  removed = removed + redis.call('UNLINK', KEYS[i + 2])
  redis.call('ZREM', AGES, id)
  local size = tonumber(redis.call('HGET', SIZES, id) or 0)
  if redis.call('HDEL', SIZES, id) == 1 and size > 0 then redis.call('HINCRBY', SIZES, 'total', -size) end
end
return removed
