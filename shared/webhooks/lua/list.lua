#!lua flags=no-writes
--!include prelude.lua
-- Reads a part of a list, newest first. ARGV: list, below (a sequence number, or '+inf'), most, status, webhook, job, event;
-- filters may be ''. At most 200 entries are looked at in one piece, about 1 ms.
-- Answers {the sequence number to go on below, '' at the end; ids...}.
local list, below, most = 'finops:' .. string.sub(ARGV[1], 8), ARGV[2], num(ARGV[3])
local wanted = {ARGV[4], ARGV[5], ARGV[6], ARGV[7]}
local LOOK = 200
local rows = redis.call('ZREVRANGEBYSCORE', list, below == '+inf' and below or '(' .. below, '-inf', 'WITHSCORES',
  'LIMIT', 0, LOOK)
local found, last = {}, ''
for i = 1, #rows, 2 do
  local f = redis.call('HMGET', delivery_key(rows[i]), 'status', 'webhook', 'job', 'event')
  local matches = f[1]
  for at, value in ipairs(wanted) do matches = matches and (value == '' or value == f[at]) end
  last = rows[i + 1]
  if matches then
    found[#found + 1] = rows[i]
    if #found == most then return {last, unpack(found)} end
  end
end
return {#rows < 2 * LOOK and '' or last, unpack(found)}
