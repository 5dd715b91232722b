-- Money in a shard other than 0: what the engine's scripts would change in limits and ledger goes into a stream, by the
-- script that changes the job, and is carried to shard 0 (book_shard.lua). The functions are those of the other meters.lua
-- and books.lua that the engine's scripts call. An entry is two pairs: kind and hold, value and ledger entry.
local BOOKINGS = 'finops:bookings'

local function note_booking(kind, hold, value, json)
  redis.call('XADD', BOOKINGS, '*', kind, hold, value, json)
end

local function open_books() return {} end
local function close_books() end
local function settle_outcome(hold, state, json) note_booking('settle', hold, state, json) end
local function have_no_hold() return false end  -- it is shard 0 that knows
local function keep_hold(id, ms) note_booking('keep', id, int(ms), '') end
local function prolong_hold(id, until_ms) note_booking('prolong', id, int(until_ms), '') end
local function reopen_hold(id) note_booking('reopen', id, '', '') end
