#!lua
-- Raises a purge mark; a later one stays. ARGV: time in ms, life in ms. KEYS: mark.
local before = tonumber(redis.call('GET', KEYS[1]) or 0)
if tonumber(ARGV[1]) > before then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1
