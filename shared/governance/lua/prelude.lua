-- What the scripts of governance share.
local function int(n) return string.format('%d', math.floor(n)) end  -- half of what '%.0f' takes
local function num(v) return tonumber(v or 0) or 0 end

local function now_ms()
  local t = redis.call('TIME')
  return num(t[1]) * 1000 + math.floor(num(t[2]) / 1000)
end
--!include meters.lua
--!include books.lua
