-- Removes every key of a job that has ended; its id stays in the lists for a day, as a cursor. Includers have prelude.lua.
local function remove(job)
  local id = job.id
  local f = redis.call('HMGET', job_key(id), 'expires_ms', 'stored', 'payload_as', 'result_as', 'error')
  count_bytes(job.caller, hour_of(num(f[1])), -num(f[2]))
  drop_body(f[3], now_ms())
  drop_body(f[4], now_ms())
  redis.call('DEL', job_key(id), payload_key(id), result_key(id), events_key(id), arq_result_key(id), arq_job_key(id), arq_progress_key(id))
  redis.call('ZREM', DEAD, id)
  redis.call('ZREM', ended_key(job.state), id)
  redis.call('ZREM', COSTS, id)
  local code = string.match(f[5] or '', '"code":"([^"]*)"')
  if code then redis.call('ZREM', code_key(code), id) end
end
