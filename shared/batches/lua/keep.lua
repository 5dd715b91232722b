#!lua
--!include prelude.lua
-- Makes a file of uploaded parts, if its owner has room. ARGV: id, owner, parts, lifetime in ms, bytes, the owner's most
-- bytes, then fields. Answers {'full', bytes stored}, {'lost'} when a part is gone, or {'kept', record}.
local id, owner, parts, ttl, bytes, most = ARGV[1], ARGV[2], num(ARGV[3]), num(ARGV[4]), num(ARGV[5]), num(ARGV[6])
local now = now_ms()
local set = files_key(owner)
local stored = 0
for _, other in ipairs(redis.call('ZRANGE', set, '0', '-1')) do
  local size = redis.call('HGET', file_key(other), 'bytes')
  if size then stored = stored + num(size) else redis.call('ZREM', set, other) end
end
if stored + bytes > most or redis.call('ZCARD', set) >= LISTED then return {'full', int(stored)} end
for part = 0, parts - 1 do
  if redis.call('EXISTS', part_key(id, int(part))) == 0 then return {'lost'} end
end
local fields = {'bytes', int(bytes)}
for i = 7, #ARGV do fields[#fields + 1] = ARGV[i] end
keep_file(id, owner, parts, ttl, now, fields)
return {'kept', redis.call('HGETALL', file_key(id))}
