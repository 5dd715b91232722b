-- What the scripts of governance share.
local function int(n) return string.format('%.0f', n) end
local function num(v) return tonumber(v or 0) or 0 end

local function now_ms()
  local t = redis.call('TIME')
  return num(t[1]) * 1000 + math.floor(num(t[2]) / 1000)
end
--!include meters.lua
--!include books.lua
