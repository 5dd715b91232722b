#!lua flags=allow-oom
--!include prelude.lua
--!include queue_stats.lua
-- Queue statistics, as queue_stats.lua describes them.
return queue_stats(now_ms())
