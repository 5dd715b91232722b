#!lua flags=allow-oom
--!include prelude.lua
-- Events after a number of them: the number of the first one given, then the lines. ARGV: id, after, count.
local base = num(redis.call('HGET', job_key(ARGV[1]), 'events_base'))
local from = math.max(0, num(ARGV[2]) - base)
return {int(base + from + 1), redis.call('LRANGE', events_key(ARGV[1]), int(from), int(from + num(ARGV[3]) - 1))}
