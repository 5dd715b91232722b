#!lua flags=allow-oom
--!include prelude.lua
--!include queue_stats.lua
-- What an open Overview shows and what changes, in one read. ARGV: most failed jobs, most groups of the current hour to
-- add up, the number of fields of a job, these fields, then names of strings to read with it.
-- Answers {queue statistics, rows of the newest failed jobs as list.lua, current hour, {calls, errors, micro-USD} of it or
-- false where it has more groups, the strings}.
local most, most_groups, count = num(ARGV[1]), num(ARGV[2]), num(ARGV[3])
local LOOKED_AT = 50  -- expired jobs stay in the set for a while
local wanted, names, rows = {}, {}, {}
for i = 4, 3 + count do wanted[#wanted + 1] = ARGV[i] end
for i = 4 + count, #ARGV do names[#names + 1] = named(ARGV[i]) end
local now = now_ms()

for _, id in ipairs(redis.call('ZREVRANGE', ended_key('failed'), '0', int(LOOKED_AT - 1))) do
  if #rows == most then break end
  local fields = redis.call('HMGET', job_key(id), unpack(wanted))
  if fields[1] then rows[#rows + 1] = {id, fields} end
end

local _, hour = hour_name(now)
local key, sums = 'finops:usage:h:' .. hour, false
if redis.call('HLEN', key) <= most_groups then
  local calls, errors, cost = 0, 0, 0
  for _, amounts in ipairs(redis.call('HVALS', key)) do
    -- calls, errors, unpriced, input, output, cached, reasoning, cost: the first of SUMS in books.lua
    local c, e, usd = string.match(amounts, '^(%-?%d+),(%-?%d+),[^,]*,[^,]*,[^,]*,[^,]*,[^,]*,(%-?%d+)')
    calls, errors, cost = calls + num(c), errors + num(e), cost + num(usd)
  end
  sums = {int(calls), int(errors), int(cost)}
end
return {queue_stats(now), rows, hour, sums, #names > 0 and redis.call('MGET', unpack(names)) or {}}
