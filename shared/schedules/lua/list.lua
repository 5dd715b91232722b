#!lua
--!include prelude.lua
-- A page of schedules, newest first. ARGV: the list, the id after which it begins or '', most rows. Answers {rows, '1'
-- if there are more}, false when the id is not in the list.
local list, after, limit = 'finops:' .. string.sub(ARGV[1], 8), ARGV[2], num(ARGV[3])
local from = 0
if after ~= '' then
  local rank = redis.call('ZREVRANK', list, after)
  if not rank then return false end
  from = rank + 1
end
local rows = {}
while #rows <= limit do
  local id = redis.call('ZREVRANGE', list, int(from), int(from))[1]
  if not id then break end
  local record = redis.call('HGETALL', schedule_key(id))
  if #record == 0 then
    redis.call('ZREM', list, id)
  else
    rows[#rows + 1] = {id, record}
    from = from + 1
  end
end
local more = #rows > limit
if more then rows[#rows] = nil end
return {rows, more and '1' or ''}
