-- Shared by the scripts of gathered batches. Key names repeat shared/patience/keys.py; a test compares the two.
local GATHERING = 'finops:gathering'
local GATHERED_MS = 777600000  -- 9 days after the last change: providers run a batch for a day at most

local function gathered_key(id) return 'finops:gathered:' .. id end
local function gathered_jobs_key(id) return 'finops:gathered:' .. id .. ':jobs' end
local function group_pointer(group) return 'finops:gathering:' .. group end

local function keep_gathered(id)
  redis.call('PEXPIRE', gathered_key(id), GATHERED_MS)
  redis.call('PEXPIRE', gathered_jobs_key(id), GATHERED_MS)
end
