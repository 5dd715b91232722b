#!lua
-- Moves an alert rule to its next state and records what changed. ARGV: name, now_ms, holds ('1': the figure is beyond the
-- bound), value, for_ms, metric, threshold, ttl_ms, names of webhooks. Answers {status, '1' if an event was recorded}.
-- A firing is recorded once; while the rule was muted, once more when the mute has ended. A resolution is sent if its
-- firing was: whoever was alerted learns that it is over, muted or not.
local name, now, holds, value = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
local for_ms, metric, threshold, ttl_ms = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local key, mute_key, ALERTS = 'finops:alert-rule:' .. name, 'finops:alert-mute:' .. name, 'finops:alerts'
local FIRING = 'finops:alert-rules:firing'
local f = redis.call('HMGET', key, 'status', 'since_ms', 'sent')
local status, since, sent = f[1] or 'ok', f[2] or now, f[3] or '0'
local muted = redis.call('EXISTS', mute_key) == 1
local recorded = '0'

local function record(kind, is_muted)
  redis.call('XADD', ALERTS, 'MAXLEN', '~', '10000', '*', 'kind', kind, 'scope', 'rule:' .. name, 'rule', name,
    'metric', metric, 'value', value, 'threshold', threshold, 'since_ms', since, 'muted', is_muted and '1' or '0')
  recorded = '1'
end

if holds then
  if status == 'ok' then status, since = 'pending', now end
  if status == 'pending' and tonumber(now) - tonumber(since) >= for_ms then
    status, since, sent = 'firing', now, muted and '0' or '1'
    record('alert.firing', muted)
  elseif status == 'firing' and sent == '0' and not muted then
    sent = '1'
    record('alert.firing', false)
  end
elseif status ~= 'ok' then
  if status == 'firing' then record('alert.resolved', sent == '0') end
  status, since, sent = 'ok', now, '0'
end
redis.call('HSET', key, 'status', status, 'since_ms', since, 'sent', sent, 'value', value, 'at_ms', now,
  'metric', metric, 'threshold', threshold)
redis.call('PEXPIRE', key, ttl_ms)
-- For retire.lua: who is to learn of the end if the rule is removed meanwhile.
if status == 'firing' then
  redis.call('HSET', FIRING, name, ARGV[9])
  redis.call('PEXPIRE', FIRING, ttl_ms)
else
  redis.call('HDEL', FIRING, name)
end
return {status, recorded}
