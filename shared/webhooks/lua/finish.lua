#!lua flags=allow-oom
--!include prelude.lua
-- Ends an attempt. ARGV: id, token, verdict (delivered, failed, retry, released), attempt as JSON ('': none), delay_ms,
-- counts ('1': a failure of the endpoint), reason, keep_ms, disable_after_ms.
-- Answers what became of it: delivered, failed, pending; 'lost' when the lease is another's by now.
local id, token, verdict, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local delay_ms, counts, reason, keep_ms, disable_after_ms = num(ARGV[5]), ARGV[6] == '1', ARGV[7], num(ARGV[8]), num(ARGV[9])
local now = now_ms()
local f = redis.call('HMGET', delivery_key(id), 'token', 'endpoint', 'group')
if not f[1] or f[1] ~= token then return 'lost' end
local endpoint = f[2]
unlease(id, endpoint, f[3])
if attempt ~= '' then
  redis.call('RPUSH', attempts_key(id), attempt)
  redis.call('LTRIM', attempts_key(id), -MAX_ATTEMPTS_LISTED, -1)
  redis.call('PEXPIRE', attempts_key(id), int(LIVE_MS))
end

-- Keeps the endpoint's circuit. A day without any success disables it, and raises an alert.
local function note_failure()
  local e = redis.call('HMGET', endpoint_key(endpoint), 'failing_since_ms', 'disabled_ms', 'label', 'open_until_ms')
  local failures = redis.call('HINCRBY', endpoint_key(endpoint), 'failures', 1)
  local since = num(e[1]) > 0 and num(e[1]) or now
  redis.call('HSET', endpoint_key(endpoint), 'failing_since_ms', int(since), 'last_reason', reason)
  redis.call('PEXPIRE', endpoint_key(endpoint), ENDPOINT_MS)
  if failures >= TRIP and num(e[4]) <= now then
    local open_ms = math.min(MAX_OPEN_MS, FIRST_OPEN_MS * 2 ^ math.min(20, failures - TRIP))
    redis.call('HSET', endpoint_key(endpoint), 'open_until_ms', int(now + open_ms))
  end
  if num(e[2]) > 0 then return true end
  if now - since < disable_after_ms then return false end
  redis.call('HSET', endpoint_key(endpoint), 'disabled_ms', int(now))
  redis.call('ZADD', DISABLED, int(now), endpoint)
  redis.call('ZREMRANGEBYRANK', DISABLED, 0, -10001)
  redis.call('XADD', ALERTS, 'MAXLEN', '~', '10000', '*', 'kind', 'webhook.disabled', 'scope', 'webhook:' .. (e[3] or ''),
    'since_ms', int(since))
  return true
end

if verdict == 'delivered' then
  redis.call('HDEL', endpoint_key(endpoint), 'failures', 'failing_since_ms', 'open_until_ms', 'disabled_ms', 'last_reason')
  redis.call('ZREM', DISABLED, endpoint)
elseif counts and note_failure() and verdict == 'retry' then
  verdict, reason = 'failed', 'endpoint_disabled'
end
if verdict == 'released' then
  wait_until(id, endpoint, now)
elseif verdict == 'retry' then
  wait_until(id, endpoint, now + delay_ms)
  redis.call('HSET', delivery_key(id), 'reason', reason)
else
  conclude(id, verdict, now, keep_ms, reason)
end
schedule(endpoint, now)
return (verdict == 'released' or verdict == 'retry') and 'pending' or verdict
