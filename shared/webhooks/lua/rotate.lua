#!lua
-- Replaces the signing secret of a webhook; the one before stays valid for a while. ARGV: key, new secret, the configured
-- secret, its digest, until when the previous one signs (ms since 1970).
local f = redis.call('HMGET', ARGV[1], 'secret', 'configured')
local current = f[1] and f[2] == ARGV[4] and f[1] or ARGV[3]
redis.call('HSET', ARGV[1], 'secret', ARGV[2], 'configured', ARGV[4], 'previous', current, 'previous_until_ms', ARGV[5])
return 1
