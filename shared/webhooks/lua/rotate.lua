#!lua
-- Replaces the signing secret of a webhook; the one before stays valid for a while. ARGV: key, new secret, the configured
-- secret, its digest, until when the previous one signs (ms since 1970).
local key = 'finops:' .. string.sub(ARGV[1], 8)  -- with the hash tag that names in scripts have on a cluster
local f = redis.call('HMGET', key, 'secret', 'configured')
local current = f[1] and f[2] == ARGV[4] and f[1] or ARGV[3]
redis.call('HSET', key, 'secret', ARGV[2], 'configured', ARGV[4], 'previous', current, 'previous_until_ms', ARGV[5])
return 1
