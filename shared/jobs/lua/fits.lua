-- Tells whether a job fits a filter. The includer has `filter` (JobFilter.as_json, decoded) and prelude.lua; `fits` takes
-- the values of `fields`.
local COMPARED = {'state', 'type', 'model', 'priority', 'owner'}
local fields, at = {'state'}, {state = 1}
local function need(name)
  if not at[name] then
    fields[#fields + 1] = name
    at[name] = #fields
  end
end
for _, name in ipairs(COMPARED) do if filter[name] then need(name) end end
if filter.labels or filter.teams or filter.customers then need('labels') end
if filter.provider then need('model') end
if filter.provider or filter.cost then need('meta') end
if filter.code then need('error') end

local function has_one(text, lines)
  for _, line in ipairs(lines) do if string.find(text, line, 1, true) then return true end end
  return false
end

-- Values are read from the JSON that the engine wrote; a quotation mark inside a text is escaped there.
local function provider_of(meta, model)
  return string.match(meta, '"provider":"([^"]*)"') or string.match(model, '^([^/]*)/') or filter.default_provider
end

local function fits(f)
  for _, name in ipairs(COMPARED) do
    if filter[name] and not filter[name][f[at[name]] or ''] then return false end
  end
  if filter.labels then
    for _, line in ipairs(filter.labels) do
      if not string.find(f[at.labels] or '', line, 1, true) then return false end
    end
  end
  if filter.teams and not has_one(f[at.labels] or '', filter.teams) then return false end
  if filter.customers and not has_one(f[at.labels] or '', filter.customers) then return false end
  if filter.code and not filter.code[string.match(f[at.error] or '', '"code":"([^"]*)"') or ''] then return false end
  if filter.provider and not filter.provider[provider_of(f[at.meta] or '', f[at.model] or '')] then return false end
  if filter.cost then
    local cost = tonumber(string.match(f[at.meta] or '', '"cost_micro_usd":(%d+)'))
    return cost ~= nil and cost >= filter.cost[1] and cost <= filter.cost[2]
  end
  return true
end
