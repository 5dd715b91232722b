#!lua
--!include prelude.lua
-- Makes a batch, or finds the one that the same request made. ARGV: id, owner, input file, window in s, key of the
-- request, its fingerprint, ms for which it is remembered, '1' to look for it, most batches an hour, '1' to list it,
-- then fields.
-- Answers {'new' or 'known', id, record}, {'conflict'}, {'no_file'} or {'many'}.
local id, owner, input, window = ARGV[1], ARGV[2], ARGV[3], num(ARGV[4])
local request, fingerprint = 'finops:' .. string.sub(ARGV[5], 8), ARGV[6]  -- with a cluster's hash tag
if ARGV[8] == '1' then
  local f = redis.call('HMGET', request, 'id', 'body')
  if f[1] and f[2] ~= fingerprint then return {'conflict'} end
  local record = f[1] and redis.call('HGETALL', batch_key(f[1])) or {}
  if #record > 0 then return {'known', f[1], record} end
end
local parts = redis.call('HGET', file_key(input), 'parts')
if not parts then return {'no_file'} end
local now = now_ms()
local set = batches_key(owner)
local listed = ARGV[10] == '1'
if listed and redis.call('ZCOUNT', set, int(now_us() - 3600000000), '+inf') >= num(ARGV[9]) then return {'many'} end
-- The input is kept until the batch has ended, whatever its own lifetime.
local keep = window * 1000 + 86400000
if redis.call('PTTL', file_key(input)) < keep then
  redis.call('PEXPIRE', file_key(input), int(keep))
  for part = 0, num(parts) - 1 do redis.call('PEXPIRE', part_key(input, int(part)), int(keep)) end
end
redis.call('HINCRBY', file_key(input), 'uses', 1)
local fields = {}
for i = 11, #ARGV do fields[#fields + 1] = ARGV[i] end
local now_s = math.floor(now / 1000)
redis.call('HSET', batch_key(id), 'v', '1', 'owner', owner, 'input', input, 'status', 'validating', 'created_s', int(now_s),
  'expires_s', int(now_s + window), unpack(fields))
redis.call('PEXPIRE', batch_key(id), LIVE_MS)
if listed then
  list_in(set, id)
  list_in(batches_key(EVERYONE), id)
end
redis.call('ZADD', OPEN, int(now), id)
redis.call('HSET', request, 'id', id, 'body', fingerprint)
redis.call('PEXPIRE', request, ARGV[7])
return {'new', id, redis.call('HGETALL', batch_key(id))}
