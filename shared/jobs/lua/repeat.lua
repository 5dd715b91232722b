#!lua flags=allow-oom
--!include prelude.lua
--!include repeats.lua
-- A look-up for who may not submit any more: the job of the same request as submit.lua would find it, or nothing.
-- ARGV: the idempotency key's entry, fingerprint, the blind retries' entry, '1' for a blind retry.
return earlier(ARGV[1], ARGV[2], ARGV[3], ARGV[4]) or false
