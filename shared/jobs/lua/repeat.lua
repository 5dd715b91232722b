#!lua flags=allow-oom
--!include prelude.lua
--!include repeats.lua
-- Finds the job of a repeated request as submit.lua would, for callers that may no longer submit; or answers false.
-- ARGV: the idempotency key's entry, fingerprint, the blind retries' entry, '1' for a blind retry.
return earlier(ARGV[1] ~= '' and named(ARGV[1]) or '', ARGV[2], named(ARGV[3]), ARGV[4]) or false
