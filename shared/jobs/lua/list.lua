#!lua flags=allow-oom
--!include prelude.lua
-- One page of a list of jobs, newest first, without bodies. ARGV: the list's key, after which id, limit, state, model,
-- then the fields wanted. Ids whose record has expired are taken off the list on the way.
local set, after, limit, state, model = ARGV[1], ARGV[2], num(ARGV[3]), ARGV[4], ARGV[5]
local fields = {'state', 'model'}
for i = 6, #ARGV do fields[#fields + 1] = ARGV[i] end
local from = 0
if after ~= '' then
  local rank = call('ZREVRANK', set, after)
  if not rank then return false end
  from = rank + 1
end
local rows, gone, scanned, more = {}, {}, 0, 0
while more == 0 and scanned < 20000 do
  local ids = call('ZREVRANGE', set, int(from), int(from + 199))
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    local f = call('HMGET', job_key(id), unpack(fields))
    if not f[1] then
      gone[#gone + 1] = id
    elseif (state == '' or f[1] == state) and (model == '' or f[2] == model) then
      if #rows == limit then more = 1 break end
      rows[#rows + 1] = {id, f}
    end
  end
  from = from + #ids
  scanned = scanned + #ids
end
for i = 1, #gone, 1000 do call('ZREM', set, unpack(gone, i, math.min(i + 999, #gone))) end
return {rows, more}
