#!lua
--!include prelude.lua
-- Lists an object that is about to be written, so that it is deleted if no record names it. ARGV: name, ms until then.
redis.call('ZADD', BLOBS, int(now_ms() + num(ARGV[2])), ARGV[1])
return 1
