#!lua flags=allow-oom
-- Writes a part of a large body: when memory is full too, as an outcome is. ARGV: key, offset, part.
redis.call('SETRANGE', ARGV[1], ARGV[2], ARGV[3])
redis.call('PEXPIRE', ARGV[1], '600000')
return 1
