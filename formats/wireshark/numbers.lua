-- Numbers as the row has them and as people read them. Those of 64 bits are
-- kept as two halves, for not every Lua of Wireshark has integers of 64 bits.
-- Amounts are written as src/meaning/units.rs writes them.

local TWO32 = 4294967296

local byte, format, floor = string.byte, string.format, math.floor

-- Little-endian unsigned number of up to four bytes at offset (from 0).
local function number_at(bytes, offset, size)
  local value, scale = 0, 1
  for at = offset + 1, offset + size do
    value = value + byte(bytes, at) * scale
    scale = scale * 256
  end
  return value
end

-- Halves of the number at offset; the caller knows that it is there.
local function halves_at(bytes, offset, size)
  if size <= 4 then return 0, number_at(bytes, offset, size) end
  return number_at(bytes, offset + 4, 4), number_at(bytes, offset, 4)
end

-- Bits [shift, shift + width) of a number.
local function some_bits(hi, lo, shift, width)
  if width >= 64 then return hi, lo end
  if shift >= 32 then
    lo, hi, shift = hi, 0, shift - 32
  end
  if shift > 0 then
    local scale = 2 ^ shift
    local carried = hi % scale
    lo = (lo - lo % scale) / scale + carried * 2 ^ (32 - shift)
    hi = (hi - carried) / scale
  end
  if width <= 32 then
    return 0, floor(lo % 2 ^ width)
  end
  return floor(hi % 2 ^ (width - 32)), floor(lo)
end

local function not_below(hi, lo, than_hi, than_lo)
  return hi > than_hi or hi == than_hi and lo >= than_lo
end

local function negated(hi, lo)
  if lo == 0 then return (TWO32 - hi) % TWO32, 0 end
  return TWO32 - 1 - hi, TWO32 - lo
end

-- The sign of a number of so many bits, spread over all 64.
local function sign_extended(hi, lo, width)
  if width > 32 then
    if hi >= 2 ^ (width - 33) then hi = floor(hi - 2 ^ (width - 32) + TWO32) end
  elseif lo >= 2 ^ (width - 1) then
    hi, lo = TWO32 - 1, floor(lo - 2 ^ width + TWO32)
  end
  return hi, lo
end

-- For arithmetic: exact as a number of Lua below 2^53, else an object.
local function joined(hi, lo)
  if hi < 2097152 then return floor(hi * TWO32 + lo) end
  return UInt64.new(lo, hi)
end

local function digits(n)
  if type(n) == "number" then return format("%d", n) end
  return tostring(n)
end

-- Quotient and remainder.
local function divided(n, by)
  if type(n) == "number" then
    local rest = n % by
    return floor((n - rest) / by), floor(rest)
  end
  local divisor = UInt64.new(by)
  local rest = (n % divisor):tonumber()
  return n / divisor, floor(rest)
end

local function less(n, than)
  return type(n) == "number" and n < than
end

-- whole.fraction, without the zeros at the end of the fraction.
local function decimal(whole, fraction, places)
  if fraction == 0 then return digits(whole) end
  local text = format("%0" .. places .. "d", fraction):gsub("0+$", "")
  return digits(whole) .. "." .. text
end

-- n / scale to the nearest of some digits behind the point.
local function rounded(n, scale, places)
  local steps = 10 ^ places
  local whole, rest = divided(n, scale)
  local fraction = floor((rest * steps + floor(scale / 2)) / scale)
  if fraction == steps then return digits(whole + 1) end
  return decimal(whole, fraction, places)
end

local function duration_us(n)
  if less(n, 1000) then return digits(n) .. " µs" end
  if less(n, 1000000) then
    local whole, rest = divided(n, 1000)
    return decimal(whole, rest, 3) .. " ms"
  end
  return rounded(n, 1000000, 3) .. " s"
end

local function bandwidth(n)
  if less(n, 1000) then return digits(n) .. " B/s" end
  local scale, unit = 1000000000, " GB/s"
  if less(n, 1000000) then
    scale, unit = 1000, " kB/s"
  elseif less(n, 1000000000) then
    scale, unit = 1000000, " MB/s"
  end
  return rounded(n, scale, 2) .. unit
end

local function hex(hi, lo)
  if hi > 0 then return format("0x%x%08x", hi, lo) end
  return format("0x%x", lo)
end

local function with_unit(unit)
  return function(n) return digits(n) .. unit end
end

-- An amount as people write it, by unit.
local AMOUNT = {
  us = duration_us,
  clock_us = duration_us,
  ns = function(n)
    if less(n, 1000) then return digits(n) .. " ns" end
    local whole, rest = divided(n, 1000)
    return decimal(whole, rest, 3) .. " µs"
  end,
  ms = function(n)
    if less(n, 1000) then return digits(n) .. " ms" end
    local whole, rest = divided(n, 1000)
    return decimal(whole, rest, 3) .. " s"
  end,
  seconds = with_unit(" s"),
  ticks = with_unit(" ticks"),
  bytes = function(n) return n == 1 and "1 byte" or digits(n) .. " bytes" end,
  bandwidth = bandwidth,
  percent = with_unit("%"),
  gain = function(n) return rounded(n, 256, 3) end,
  bool = function(n) return n == 0 and "no" or "yes" end,
}
