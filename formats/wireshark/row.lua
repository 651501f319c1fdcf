-- The values of a row, whether a payload fits it, and the sentence that says what
-- happened: as src/meaning/explained.rs has them.

-- Halves of a cell; nil where the row does not have it. `at` is the place of
-- the offset in `cell`.
local function read(row, cell, at)
  local offset, size, low = cell[at], cell[at + 1], cell[at + 4]
  if cell[at + 5] and not row.has_info then return nil end
  local first = low and 4 or size
  if offset + first > #row.bytes or low and low + 4 > #row.bytes then return nil end
  local hi, lo
  if low then
    hi, lo = number_at(row.bytes, offset, 4), number_at(row.bytes, low, 4)
  else
    hi, lo = halves_at(row.bytes, offset, size)
  end
  local shift, width = cell[at + 2], cell[at + 3]
  if width < 8 * size then return some_bits(hi, lo, shift, width) end
  return hi, lo
end

local function fits(row, payload)
  for _, condition in ipairs(payload.when) do
    local hi, lo = read(row, condition[1], 1)
    if not hi then return false end
    local inside = false
    for at = 2, #condition do
      local range = condition[at]
      if not_below(hi, lo, range[1], range[2]) and not_below(range[3], range[4], hi, lo) then
        inside = true
        break
      end
    end
    if not inside then return false end
  end
  return true
end

local function value_of(row, payload, at)
  local cell = payload.fields[at]
  local hi, lo = read(row, cell, 2)
  if hi and fields[cell[1]].signed then hi, lo = sign_extended(hi, lo, cell[5]) end
  return hi, lo
end

local function is_negative(field, hi)
  return field.signed and hi >= 2147483648
end

-- A value with its unit, for people.
local function written(field, hi, lo, release)
  local unit = field.unit
  if unit == "flags" and (hi > 0 or lo > 0) then return flags(field.names, hi, lo, release) end
  local minus = ""
  if is_negative(field, hi) and unit ~= "seq" and unit ~= "rseq" then
    minus = "-"
    hi, lo = negated(hi, lo)
  end
  if unit == "hex" or unit == "pointer" then return minus .. hex(hi, lo) end
  local n = joined(hi, lo)
  if unit == "code" then
    local value = type(n) == "number" and (minus == "-" and -n or n)
    local name, said
    if value then name, said = code_name(field.names, value, release) end
    if name then return said end
  end
  local amount = AMOUNT[unit]
  return minus .. (amount and amount(n) or digits(n))
end

-- As may_be_address of src/meaning/explained.rs.
local FROM_HI, FROM_LO, END_HI, END_LO = (table.unpack or unpack)(DATA.kernel_addresses)
local function may_be_address(hi, lo)
  return not_below(hi, lo, FROM_HI, FROM_LO) and not not_below(hi, lo, END_HI, END_LO)
end

-- Appends the parts of a sentence; false if the row lacks a field. What may be
-- a kernel address is not said, whatever the preferences.
local function say(out, row, payload, parts, release)
  for _, part in ipairs(parts) do
    if type(part) == "string" then
      out[#out + 1] = part
    elseif type(part) == "number" then
      local hi, lo = value_of(row, payload, part)
      if not hi then return false end
      local field = fields[payload.fields[part][1]]
      out[#out + 1] = field.wide and may_be_address(hi, lo) and "masked"
        or written(field, hi, lo, release)
    elseif part.optional then
      local says = false
      for _, inside in ipairs(part.optional) do
        local at = type(inside) == "table" and inside[1] or type(inside) == "number" and inside
        if at then
          local hi, lo = value_of(row, payload, at)
          says = says or hi and (hi > 0 or lo > 0)
        end
      end
      if says then
        local inside = {}
        if say(inside, row, payload, part.optional, release) then
          out[#out + 1] = table.concat(inside)
        end
      end
    else
      local hi, lo = value_of(row, payload, part[1])
      if not hi then return false end
      out[#out + 1] = (hi > 0 or lo > 0) and part[2] or part[3]
    end
  end
  return true
end

local function sentence(row, payload, release)
  local out = {}
  local text
  if payload and say(out, row, payload, payload.says, release) then
    text = table.concat(out)
  else
    text = event_of(row.event, release)[2]
    if text == "" then text = "event " .. digits(row.event) end
  end
  if row.errno > 0 and row.errno < 2147483648 then text = text .. ", errno " .. digits(row.errno) end
  return text
end
