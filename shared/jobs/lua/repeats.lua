-- Finds the job that a repeated submit made before. Includers have prelude.lua.
local function known(job_id)
  local fields = redis.call('HGETALL', job_key(job_id))
  if #fields == 0 then return nil end
  local job = read_job(job_id)
  return {'known', job_id, fields, job.state == 'queued' and forecast(job) or {0, '0'}}
end

-- The job that the same request made before, {'conflict'} for another body under its idempotency key, or nil.
local function earlier(idem, fingerprint, dedupe, blind)
  if idem ~= '' then
    local f = redis.call('HMGET', idem, 'id', 'body')
    if f[1] and f[2] ~= fingerprint then return {'conflict'} end
    return f[1] and known(f[1]) or nil
  end
  local first = blind == '1' and redis.call('GET', dedupe)
  return first and known(first) or nil
end
