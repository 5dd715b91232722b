#!lua
--!include prelude.lua
-- Writes lines into a batch's files, each line once. ARGV: id, turn, lease of the turn in ms, number of ended jobs that
-- are collected, then per line: its number, 'output' or 'error', the text, how much longer it is for being sealed, and
-- tokens: in, cached, out, reasoning.
-- Answers {completed, failed}, or false when the turn is over.
local id, turn = ARGV[1], ARGV[2]
if not holds(id, turn) then return false end
local now = now_ms()
hold(id, now, num(ARGV[3]))
local texts = {output = {}, error = {}}
local longer = {output = 0, error = 0}
local tokens = {0, 0, 0, 0}
for i = 5, #ARGV, 8 do
  if redis.call('SETBIT', done_key(id), ARGV[i], '1') == 0 then
    local lines = texts[ARGV[i + 1]]
    lines[#lines + 1] = ARGV[i + 2]
    longer[ARGV[i + 1]] = longer[ARGV[i + 1]] + num(ARGV[i + 3])
    for t = 1, 4 do tokens[t] = tokens[t] + num(ARGV[i + 3 + t]) end
  end
end
for kind, lines in pairs(texts) do
  if #lines > 0 then
    local file, parts = unpack(redis.call('HMGET', batch_key(id), kind .. '_file', kind .. '_parts'))
    parts = num(parts)
    if parts == 0 or redis.call('STRLEN', part_key(file, int(parts - 1))) >= PART_BYTES then
      parts = parts + 1
      redis.call('HSET', batch_key(id), kind .. '_parts', int(parts))
    end
    local key = part_key(file, int(parts - 1))
    redis.call('APPEND', key, table.concat(lines))
    redis.call('PEXPIRE', key, LIVE_MS)
    redis.call('HINCRBY', batch_key(id), kind == 'output' and 'completed' or 'failed', #lines)
    if longer[kind] > 0 then redis.call('HINCRBY', batch_key(id), kind .. '_longer', int(longer[kind])) end
  end
end
for t, name in ipairs({'input_tokens', 'cached_tokens', 'output_tokens', 'reasoning_tokens'}) do
  if tokens[t] > 0 then redis.call('HINCRBY', batch_key(id), name, int(tokens[t])) end
end
if num(ARGV[4]) > 0 then redis.call('LTRIM', ended_key(id), ARGV[4], '-1') end
redis.call('PEXPIRE', done_key(id), LIVE_MS)
local f = redis.call('HMGET', batch_key(id), 'completed', 'failed')
return {num(f[1]), num(f[2])}
