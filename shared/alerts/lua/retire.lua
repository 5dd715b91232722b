#!lua
-- Resolves the alert of a rule that is no longer configured. ARGV: name, now_ms, silent_ms. Answers '1' if it was done;
-- '0' while the rule was evaluated less than silent_ms ago: a process with an older configuration still has it.
local name, now = ARGV[1], ARGV[2]
local key, FIRING = 'finops:alert-rule:' .. name, 'finops:alert-rules:firing'
local f = redis.call('HMGET', key, 'at_ms', 'sent', 'metric', 'value', 'threshold')
if f[1] and tonumber(now) - tonumber(f[1]) < tonumber(ARGV[3]) then return '0' end
local webhooks = redis.call('HGET', FIRING, name)
if not webhooks then return '0' end -- another process did it
redis.call('XADD', 'finops:alerts', 'MAXLEN', '~', '10000', '*', 'kind', 'alert.resolved', 'scope', 'rule:' .. name, 'rule',
  name, 'metric', f[3] or '', 'value', '', 'threshold', f[5] or '0', 'since_ms', now, 'muted', f[2] == '1' and '0' or '1',
  'webhooks', webhooks)
redis.call('HDEL', FIRING, name)
redis.call('DEL', key)
return '1'
