#!lua flags=allow-oom
--!include prelude.lua
-- Ends a batch: its files become visible, its input is released, its webhook is notified. ARGV: id, turn, status, errors
-- in JSON or ''. Answers 1, or 0 when the turn is over.
local id, turn, status = ARGV[1], ARGV[2], ARGV[3]
if not holds(id, turn) then return 0 end
local now = now_ms()
local f = redis.call('HMGET', batch_key(id), 'owner', 'input', 'webhook', 'file_ttl_s')
for _, kind in ipairs({'output', 'error'}) do
  local file, parts, longer = unpack(redis.call('HMGET', batch_key(id), kind .. '_file', kind .. '_parts', kind .. '_longer'))
  parts = num(parts)
  if parts > 0 then
    local bytes = -num(longer)  -- the size of a file is that of its content, sealed or not
    for part = 0, parts - 1 do bytes = bytes + redis.call('STRLEN', part_key(file, int(part))) end
    keep_file(file, f[1] or '', parts, num(f[4]) * 1000, now,
      {'bytes', int(bytes), 'filename', id .. '_' .. kind .. '.jsonl', 'purpose', 'batch_output'})
  end
end
if redis.call('EXISTS', file_key(f[2])) == 1 then redis.call('HINCRBY', file_key(f[2]), 'uses', -1) end
-- A cancel after the last line still makes the batch a cancelled one.
if status == 'completed' and redis.call('HGET', batch_key(id), 'status') == 'cancelling' then status = 'cancelled' end
redis.call('HSET', batch_key(id), 'status', status, status .. '_s', int(now / 1000), 'errors', ARGV[4])
redis.call('PEXPIRE', batch_key(id), LIVE_MS)
redis.call('ZREM', OPEN, id)
redis.call('DEL', done_key(id), ended_key(id))
if f[3] and f[3] ~= '' then
  redis.call('XADD', OUTBOX, 'MAXLEN', '~', '100000', '*', 'job', id, 'webhook', f[3], 'state', status, 'type', 'batch',
    'owner', f[1] or '')
end
return 1
