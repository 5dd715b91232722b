-- What the scripts of files and batches share. Key names repeat shared/batches/keys.py; a test holds one against the other.
local call = redis.call
local OPEN = 'finops:batches:open'
local OUTBOX = 'finops:webhooks:outbox'
local LIVE_MS = 2592000000      -- batches and what they write: 30 days, refreshed while they are worked on
local LISTED = 10000            -- files, or batches, that a list holds
local PART_BYTES = 1048576      -- a part that has as much is full

local function batch_key(id) return 'finops:batch:' .. id end
local function done_key(id) return 'finops:batch:' .. id .. ':done' end
local function ended_key(id) return 'finops:group:' .. id .. ':ended' end
local function file_key(id) return 'finops:file:' .. id end
local function part_key(id, part) return 'finops:file:' .. id .. ':' .. part end
local function named(owner) return owner == '' and '-' or owner end
local function files_key(owner) return 'finops:owner:' .. named(owner) .. ':files' end
local function batches_key(owner) return 'finops:owner:' .. named(owner) .. ':batches' end

local function int(n) return string.format('%d', math.floor(n)) end
local function num(v) return tonumber(v or 0) or 0 end

local function now_ms()
  local t = call('TIME')
  return num(t[1]) * 1000 + math.floor(num(t[2]) / 1000)
end

-- A turn at a batch is held until another one is taken: its number is the fencing token.
local function holds(id, turn) return call('HGET', batch_key(id), 'turn') == turn end

local function hold(id, now, ms) call('ZADD', OPEN, 'XX', int(now + ms), id) end

-- Lists go by microseconds: what one caller makes one after the other is listed so.
local function now_us()
  local t = call('TIME')
  return num(t[1]) * 1000000 + num(t[2])
end

local function list_in(set, id)
  call('ZADD', set, int(now_us()), id)
  call('ZREMRANGEBYRANK', set, '0', -LISTED - 1)
  call('PEXPIRE', set, LIVE_MS)
end

-- Makes a file of parts that are there already. fields: all but the times.
local function keep_file(id, owner, parts, ttl_ms, now, fields)
  call('HSET', file_key(id), 'v', '1', 'owner', owner, 'parts', int(parts), 'created_s', int(now / 1000),
    'expires_s', int((now + ttl_ms) / 1000), unpack(fields))
  call('PEXPIRE', file_key(id), int(ttl_ms))
  for part = 0, parts - 1 do call('PEXPIRE', part_key(id, int(part)), int(ttl_ms)) end
  list_in(files_key(owner), id)
end
