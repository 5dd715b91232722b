-- Shared by the scripts of files and batches. Key names repeat shared/batches/keys.py; a test compares the two.
local OPEN = 'finops:batches:open'
local OUTBOX = 'finops:webhooks:outbox'
local BLOBS = 'finops:blobs'
local LIVE_MS = 2592000000      -- batches and their files: 30 days, refreshed at each turn
local LISTED = 10000            -- most files, or batches, of a list
local PART_BYTES = 1048576      -- size from which a part is full

local function batch_key(id) return 'finops:batch:' .. id end
local function done_key(id) return 'finops:batch:' .. id .. ':done' end
local function ended_key(id) return 'finops:group:' .. id .. ':ended' end
local function file_key(id) return 'finops:file:' .. id end
local function part_key(id, part) return 'finops:file:' .. id .. ':' .. part end
local function owner_name(owner) return owner == '' and '-' or owner end
local function files_key(owner) return 'finops:owner:' .. owner_name(owner) .. ':files' end
local EVERYONE = '~all'           -- instead of an owner: the list of all batches
local function batches_key(owner)
  if owner ~= EVERYONE then return 'finops:owner:' .. owner_name(owner) .. ':batches' end
  return 'finops:batches:all'
end

local function int(n) return string.format('%d', math.floor(n)) end
local function num(v) return tonumber(v or 0) or 0 end

local function now_ms()
  local t = redis.call('TIME')
  return num(t[1]) * 1000 + math.floor(num(t[2]) / 1000)
end

-- A turn is held until another one is taken: its number is the fencing token.
local function holds(id, turn) return redis.call('HGET', batch_key(id), 'turn') == turn end

local function hold(id, now, ms) redis.call('ZADD', OPEN, 'XX', int(now + ms), id) end

-- Lists are ordered by microseconds, so that what a caller makes in sequence is listed in that order.
local function now_us()
  local t = redis.call('TIME')
  return num(t[1]) * 1000000 + num(t[2])
end

local function list_in(set, id)
  redis.call('ZADD', set, int(now_us()), id)
  redis.call('ZREMRANGEBYRANK', set, '0', -LISTED - 1)
  redis.call('PEXPIRE', set, LIVE_MS)
end

-- Makes a file of existing parts. fields: all but the times.
local function keep_file(id, owner, parts, ttl_ms, now, fields)
  redis.call('HSET', file_key(id), 'v', '1', 'owner', owner, 'parts', int(parts), 'created_s', int(now / 1000),
    'expires_s', int((now + ttl_ms) / 1000), unpack(fields))
  redis.call('PEXPIRE', file_key(id), int(ttl_ms))
  for part = 0, parts - 1 do redis.call('PEXPIRE', part_key(id, int(part)), int(ttl_ms)) end
  list_in(files_key(owner), id)
end
