#!lua flags=allow-oom
--!include prelude.lua
-- Renews leases; answers the tokens of lost ones.
local lease = num(ARGV[1])
local now = now_ms()
beat(now, lease)
local lost, kept = {}, {}
for i = 2, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local f = redis.call('HMGET', job_key(id), 'state', 'lease')
  if f[1] == 'running' and f[2] == token then
    kept[#kept + 1] = int(now + lease)
    kept[#kept + 1] = id
    redis.call('PEXPIRE', arq_progress_key(id), int(lease + MIRROR_MS))
  else
    lost[#lost + 1] = token
  end
end
if #kept > 0 then redis.call('ZADD', LEASES, unpack(kept)) end
return lost
