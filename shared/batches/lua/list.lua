#!lua
--!include prelude.lua
-- A page of files or batches. ARGV: 'files' or 'batches', owner, id to go on after, limit, '1' for the newest first,
-- purpose. Answers {rows of {id, record}, 1 when there are more}; false when there is no such id to go on after.
local of_files = ARGV[1] == 'files'
local set = of_files and files_key(ARGV[2]) or batches_key(ARGV[2])
local after, limit, newest, purpose = ARGV[3], num(ARGV[4]), ARGV[5] == '1', ARGV[6]
local first = 0
if after ~= '' then
  local rank = redis.call(newest and 'ZREVRANK' or 'ZRANK', set, after)
  if not rank then return false end
  first = rank + 1
end
local rows, more = {}, 0
for _, id in ipairs(redis.call(newest and 'ZREVRANGE' or 'ZRANGE', set, int(first), '-1')) do
  local key = of_files and file_key(id) or batch_key(id)
  if purpose == '' or redis.call('HGET', key, 'purpose') == purpose then
    local record = redis.call('HGETALL', key)
    if #record > 0 then
      if #rows == limit then
        more = 1
        break
      end
      rows[#rows + 1] = {id, record}
    end
  end
end
return {rows, more}
