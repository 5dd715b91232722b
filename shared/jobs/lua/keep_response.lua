#!lua
--!include prelude.lua
--!include stored_responses.lua
-- Stores a response, if its caller has room. ARGV: its key, caller, body, lifetime in ms, the caller's most bytes ('0': no
-- limit). Answers 1, or 0: there is no room.
local key, caller, body, ttl, most = named(ARGV[1]), ARGV[2], ARGV[3], num(ARGV[4]), num(ARGV[5])
local now = now_ms()
uncount_response(key, caller, now)
if most > 0 and overfull(caller, now, #body, most) then
  redis.call('DEL', key)
  return 0
end
redis.call('SET', key, body, 'PX', int(ttl))
count_responses(caller, now, day_of(now + ttl), #body)
return 1
