#!lua flags=allow-oom
--!include prelude.lua
-- Looks at listed objects that are due: one that a record names is due again when the record expires, the others are to be
-- deleted. ARGV: how many, ms until others may delete them. Answers their names.
local now = now_ms()
local orphans = {}

-- The milliseconds for which a record still names an object; 0: none does.
local function named_ms(name)
  local kind, id, part = string.match(name, '^(%a+)/([^/]+)/(.+)$')
  if kind == 'files' then return math.max(0, redis.call('PTTL', 'finops:file:' .. id .. ':' .. part)) end
  if kind ~= 'jobs' then return 0 end
  local f = redis.call('HMGET', job_key(id), 'payload_as', 'result_as')
  if f[1] ~= 'b:' .. name and f[2] ~= 'b:' .. name then return 0 end
  return math.max(0, redis.call('PTTL', job_key(id)))
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', BLOBS, '-inf', int(now), 'LIMIT', '0', ARGV[1])) do
  local ms = named_ms(name)
  if ms == 0 then orphans[#orphans + 1] = name end
  redis.call('ZADD', BLOBS, int(now + (ms > 0 and ms + 1000 or num(ARGV[2]))), name)
end
return orphans
