-- Names and times of the job engine's keys. They repeat shared/jobs/keys.py; a test compares the two.
local PRIORITIES = {'high', 'normal', 'low'}
local QUEUE = {high = 'arq:queue:high', normal = 'arq:queue', low = 'arq:queue:low'}
local CLOCK = 'finops:jobs:clock'
local LEASES = 'finops:jobs:leases'
local DEFERRED = 'finops:jobs:deferred'
local DEADLINES = 'finops:jobs:deadlines'
local WAITING = 'finops:jobs:waiting'
local DEAD = 'finops:jobs:dead'
local ALL = 'finops:jobs:all'
local LIVE = 'finops:jobs:live'
local COSTS = 'finops:jobs:costs'
local OUTBOX = 'finops:webhooks:outbox'
local CANCEL = 'finops:cancel'
local BLOBS = 'finops:blobs'
local LIVE_MS = 2592000000      -- safety expiry of a live job's keys: 30 days
local DEAD_MS = 604800000       -- dead-lettered records: 7 days
local IDLE_MS = 86400000        -- a caller without jobs is forgotten after a day
local MIRROR_MS = 60000         -- arq's in-progress key outlives the lease, so that a late reclaim is not "not found"
local SWEEP = 100               -- due jobs, dead leases and deadlines looked after per call

-- A key whose name is an argument. On a cluster the names that scripts write have a hash tag, those of arguments have none.
local function named(name) return 'finops:' .. string.sub(name, 8) end

local function job_key(id) return 'finops:job:' .. id end
local function payload_key(id) return 'finops:job:' .. id .. ':payload' end
local function part_key(id, token) return 'finops:job:' .. id .. ':part:' .. string.gsub(token, ':', '.') end
local function result_key(id) return 'finops:job:' .. id .. ':result' end
local function events_key(id) return 'finops:job:' .. id .. ':events' end
local function signal_key(id) return 'finops:job:' .. id .. ':signal' end
local function caller_key(name) return 'finops:caller:' .. name end
local function ready_key(priority, name) return 'finops:lane:' .. priority .. ':ready:' .. name end
local function callers_key(priority) return 'finops:lane:' .. priority .. ':callers' end
local function wake_key(priority) return 'finops:wake:' .. priority end
local function owner_key(owner) return 'finops:owner:' .. owner .. ':jobs' end
local function group_key(group) return 'finops:group:' .. group .. ':ended' end
local function ended_key(state) return 'finops:jobs:' .. state end
local function index_key(number) return 'finops:jobs:index:' .. number end
-- One of 256 sets, as error codes may be those of any upstream.
local function code_key(code)
  local hash = 0
  for i = 1, math.min(#code, 64) do hash = (hash * 31 + string.byte(code, i)) % 256 end
  return 'finops:jobs:code:' .. string.format('%d', hash)
end
local function arq_job_key(id) return 'arq:job:' .. id end
local function arq_progress_key(id) return 'arq:in-progress:' .. id end
local function arq_result_key(id) return 'arq:result:' .. id end
local function stored_key(caller) return 'finops:stored:' .. caller end
