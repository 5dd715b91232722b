#!lua
-- Renews a lock, or removes it, if it is still the caller's. ARGV: token, life in ms (0: remove). KEYS: lock.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) == 0 then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
