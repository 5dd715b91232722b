#!lua flags=allow-oom
-- Writes a part of a large body: when memory is full too, as an outcome is. ARGV: key, offset, part.
local key = 'finops:' .. string.sub(ARGV[1], 8)
redis.call('SETRANGE', key, ARGV[2], ARGV[3])
redis.call('PEXPIRE', key, '600000')
return 1
