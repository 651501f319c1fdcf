-- What follows is the same for any tables: it finds the payload that fits a
-- row, and names what is in it. Numbers of 64 bits are kept as two halves,
-- for not every Lua of Wireshark has integers of 64 bits.

local INFO_START, INFO_END = 160, 264
local STACKINFO = 0x10
local TWO32 = 4294967296

local proto = Proto("tcplog", "TCP black box")
proto.prefs.release = Pref.string("Release", DATA.release,
  "FreeBSD release that logged: auto, " .. table.concat(DATA.releases, ", "))
proto.prefs.stack_names = Pref.string("Names of stacks", DATA.stack_names,
  "As sysctl net.inet.tcp.function_info gives them: 1=freebsd 2=rack 3=bbr")
proto.prefs.show_pointers = Pref.bool("Show kernel addresses", false,
  "Otherwise they are shown as masked")

local RELEASE = {}
for at, name in ipairs(DATA.releases) do RELEASE[name] = at end
local NEWEST = #DATA.releases
local BASE, RACK, BBR = 1, 2, 3

---------------------------------------------------------------- fields

local all = {}
local function define(make, abbr, ...)
  local field = make(abbr, ...)
  all[#all + 1] = field
  return field
end

local own = {
  event = define(ProtoField.string, "tcplog.event", "Event"),
  stack = define(ProtoField.string, "tcplog.stack", "Stack", base.NONE, "Name of the TCP stack, as far as known"),
  class = define(ProtoField.string, "tcplog.payload_class", "Class"),
  says = define(ProtoField.string, "tcplog.says", "What happened"),
  release = define(ProtoField.string, "tcplog.release", "Release", base.NONE, "By which the row is explained"),
  masked = define(ProtoField.string, "tcplog.masked", "Masked", base.NONE,
    "Cell without a name whose content may be a kernel address"),
  flight = define(ProtoField.uint32, "tcplog.state.flight", "flight", base.DEC, nil, nil,
    "snd_max - snd_una: bytes sent and not acknowledged"),
}

-- Names of a code, those of the newest release where it has several.
local function value_names(name)
  local names = {}
  for _, code in ipairs(DATA.codes[name] or {}) do names[code[1]] = code[2] end
  return names
end

local fields = {}
for at, declared in ipairs(DATA.fields) do
  local abbr, name, kind, unit, names, doc = declared[1], declared[2], declared[3], declared[4], declared[5], declared[6]
  local field
  if kind == "string" then
    field = define(ProtoField.string, abbr, name, base.NONE, doc)
  else
    local wide = kind:sub(-2) == "64"
    local shown = (unit == "hex" or unit == "flags") and kind:sub(1, 1) == "u" and base.HEX or base.DEC
    local values = unit == "code" and not wide and value_names(names) or nil
    field = define(ProtoField[kind], abbr, name, shown, values, nil, doc)
  end
  fields[at] = { field = field, name = name, unit = unit, names = names,
    signed = kind:sub(1, 1) == "i" }
end

local raw_fields = {}
local view_names = {}
for name in pairs(DATA.views) do view_names[#view_names + 1] = name end
table.sort(view_names)
local raw_sizes = {}
for _, view in ipairs(view_names) do
  for _, cell in ipairs(DATA.views[view]) do
    raw_sizes[cell[1]] = math.max(raw_sizes[cell[1]] or 1, cell[3])
  end
end
local raw_names = {}
for name in pairs(raw_sizes) do raw_names[#raw_names + 1] = name end
table.sort(raw_names)
for _, name in ipairs(raw_names) do
  local make = ProtoField["uint" .. 8 * raw_sizes[name]]
  raw_fields[name] = define(make, "tcplog.raw." .. name, name)
end

-- Wireshark's names where they are not the kernel's.
local WIRESHARK = {
  stackid = "stack_id", eventid = "event_id", eventflags = "event_flags", sn = "serial_nr",
  rxbuf_acc = "rxb_acc", rxbuf_ccc = "rxb_ccc", rxbuf_spare = "rxb_spare",
  txbuf_acc = "txb_acc", txbuf_ccc = "txb_accs", txbuf_spare = "txb_spare",
  segqlen = "seg_qlen", snd_numholes = "snd_num_holes", flex1 = "flex_1", flex2 = "flex_2",
  fbyte_in = "first_byte_in", fbyte_out = "first_byte_out",
  snd_scale = "snd_shift", rcv_scale = "rcv_shift", len = "payload_length",
}
-- Only with these event flags.
local VALID = { rxbuf_acc = 1, rxbuf_ccc = 1, txbuf_acc = 2, txbuf_ccc = 2 }
local NOT_STATE = { rxbuf_spare = true, txbuf_spare = true }

-- Not every version of Wireshark has every field.
local function known(abbr)
  local ok, field = pcall(Field.new, abbr)
  return ok and field or nil
end

local state = {}
for _, declared in ipairs(DATA.state) do
  local name, kind, offset, size, shift, width, doc =
    declared[1], declared[2], declared[3], declared[4], declared[5], declared[6], declared[7]
  if not NOT_STATE[name] then
    local shown = (name == "t_flags" or name == "t_flags2" or name == "eventflags") and base.HEX or base.DEC
    state[#state + 1] = {
      name = name, offset = offset, size = size, shift = shift, width = width,
      signed = kind:sub(1, 1) == "i", valid = VALID[name],
      field = define(ProtoField[kind], "tcplog.state." .. name, name, shown, nil, nil, doc),
      packet = known("frame.bblog." .. (WIRESHARK[name] or name))
        or name == "txbuf_ccc" and known("frame.bblog.txb_ccc") or nil,
    }
  end
end

proto.fields = all

local row_serial = known("bblog.serial_nr")
local packet_serial = known("frame.bblog.serial_nr")
local packet_event = known("frame.bblog.event_id")
local packet_stack = known("frame.bblog.stack_id")
local packet_flags = known("frame.bblog.event_flags")
local packet_direction = known("frame.packet_flags_direction") or known("frame.packet_flags")

---------------------------------------------------------------- numbers

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

---------------------------------------------------------------- tables by release

local function holds(since, upto, release)
  return (not since or since <= release) and (not upto or release <= upto)
end

-- Names of the set bits, joined by |; what has no name comes last.
local function flags(table_name, hi, lo, release)
  local set, rest = {}, {}
  for at = 0, 63 do
    local half = at < 32 and lo or hi
    if floor(half / 2 ^ (at % 32)) % 2 == 1 then set[at], rest[at] = true, true end
  end
  local names = {}
  for _, flag in ipairs(DATA.bits[table_name] or {}) do
    local is_set = holds(flag[3], flag[4], release)
    for _, at in ipairs(flag[1]) do is_set = is_set and set[at] end
    if is_set then
      names[#names + 1] = flag[2]
      for _, at in ipairs(flag[1]) do rest[at] = nil end
    end
  end
  local rest_hi, rest_lo = 0, 0
  for at in pairs(rest) do
    if at < 32 then
      rest_lo = floor(rest_lo + 2 ^ at)
    else
      rest_hi = floor(rest_hi + 2 ^ (at - 32))
    end
  end
  if rest_hi > 0 or rest_lo > 0 then names[#names + 1] = hex(rest_hi, rest_lo) end
  return table.concat(names, "|")
end

local code_tables = {}
local function code_name(table_name, value, release)
  local key = table_name .. release
  local by_value = code_tables[key]
  if not by_value then
    by_value = {}
    for _, code in ipairs(DATA.codes[table_name] or {}) do
      if holds(code[3], code[4], release) and not by_value[code[1]] then
        by_value[code[1]] = { code[2], code[5] }
      end
    end
    code_tables[key] = by_value
  end
  local names = by_value[value]
  if names then return names[1], names[2] end
end

local payloads_of = {}
for _, payload in ipairs(DATA.payloads) do
  local of = payloads_of[payload.event] or {}
  payloads_of[payload.event] = of
  of[#of + 1] = payload
end

local function has_own(event, stack)
  for _, payload in ipairs(payloads_of[event] or {}) do
    if payload.stack == stack then return true end
  end
  return false
end

-- Payloads to try, in order. What a stack has no payload for came from
-- another one: RACK and BBR log while a connection is still handed over.
local function candidates(event, family, release, has_info)
  if not (family and has_own(event, family)) then
    family = has_info and (has_own(event, RACK) and RACK or has_own(event, BBR) and BBR) or nil
  end
  local list = {}
  for _, stack in ipairs(family and { family, 0 } or { 0 }) do
    for _, payload in ipairs(payloads_of[event] or {}) do
      if payload.stack == stack and holds(payload.since, payload.upto, release) then
        list[#list + 1] = payload
      end
    end
  end
  return list
end

local candidate_lists = {}
local function payloads_to_try(event, family, release, has_info)
  local key = ((release * 4 + (family or 0)) * 2 + (has_info and 1 or 0)) * 256 + event
  local list = candidate_lists[key]
  if not list then
    list = candidates(event, family, release, has_info)
    candidate_lists[key] = list
  end
  return list
end

-- Name, what it says, view of an event.
local function event_of(event, release)
  local entries = DATA.events[event]
  if not entries then return { digits(event), "", DATA.default_view } end
  return entries[entries[1][release] + 1]
end

-- Cells that the payload leaves without a name, as the event's view cuts them.
local raw_lists = {}
local function raw_cells(event, payload, release)
  local view = event_of(event, release)[3]
  local by_view = raw_lists[payload or 0]
  if not by_view then
    by_view = {}
    raw_lists[payload or 0] = by_view
  end
  local list = by_view[view]
  if list then return list end
  list = {}
  local named = {}
  for _, field in ipairs(payload and payload.fields or {}) do
    local offset, size, width, low, inside = field[2], field[3], field[5], field[6], field[7]
    if inside and width == 8 * size then
      local part = low and 4 or size
      for at = offset, offset + part - 1 do named[at] = true end
      if low then
        for at = low, low + 3 do named[at] = true end
      end
    end
  end
  for _, cell in ipairs(DATA.views[view] or {}) do
    local start = INFO_START + cell[2]
    local is_named = true
    for at = start, start + cell[3] * cell[4] - 1 do is_named = is_named and named[at] end
    if not is_named then
      list[#list + 1] = { name = cell[1], offset = start, size = cell[3], count = cell[4] }
    end
  end
  by_view[view] = list
  return list
end

---------------------------------------------------------------- a row

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

local function not_below(hi, lo, than_hi, than_lo)
  return hi > than_hi or hi == than_hi and lo >= than_lo
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

local show_pointers = false

-- Appends the parts of a sentence; false if the row lacks a field.
local function say(out, row, payload, parts, release)
  for _, part in ipairs(parts) do
    if type(part) == "string" then
      out[#out + 1] = part
    elseif type(part) == "number" then
      local hi, lo = value_of(row, payload, part)
      if not hi then return false end
      out[#out + 1] = written(fields[payload.fields[part][1]], hi, lo, release)
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

-- An address of a 64-bit kernel is among the topmost.
local function may_be_pointer(hi)
  return hi >= 0xffff8000 and hi < 0xffffffff
end

---------------------------------------------------------------- stack and release

local names_of_stacks = {}
local wanted_release
local votes, oldest, newest = {}, nil, nil

local function forget()
  votes, oldest, newest = {}, nil, nil
end

local function family_of(name)
  name = name:lower()
  for at, family in ipairs(DATA.families) do
    if name:sub(1, #family) == family then return at end
  end
  if name:sub(1, 7) == "default" then return BASE end
end

local function prefs_changed()
  names_of_stacks = {}
  for id, name in tostring(proto.prefs.stack_names):gmatch("(%d+)=([^%s,]+)") do
    names_of_stacks[tonumber(id)] = name
  end
  wanted_release = RELEASE[tostring(proto.prefs.release)]
  show_pointers = proto.prefs.show_pointers
end
proto.prefs_changed = prefs_changed

local SIGNED = { [1] = true, [2] = true, [13] = true, [14] = true, [21] = true, [27] = true }

-- The family that the row itself shows: BBR writes its state and the lowest
-- RTT with these events, RACK never both.
local function sign(row)
  if not (row.has_info and SIGNED[row.event]) then return nil end
  local bbr_state = byte(row.bytes, INFO_START + 94 + 1)
  local hi, lo = halves_at(row.bytes, INFO_START + 16, 8)
  if bbr_state >= 1 and bbr_state <= 5 and (hi > 0 or lo > 0) then return BBR end
  return RACK
end

local function vote(id, family)
  local of = votes[id] or { 0, 0, 0 }
  votes[id] = of
  of[family] = of[family] + 1
end

local function not_before(name)
  oldest = math.max(oldest or 1, RELEASE[name])
end

local function not_after(name)
  newest = math.min(newest or NEWEST, RELEASE[name])
end

-- What RACK writes since 13.1 is there or missing.
local function bound(is_newer)
  if is_newer then not_before("13") else not_after("13.0") end
end

-- Takes in what an event row betrays.
local function learn(row)
  local event = row.event
  local family = sign(row)
  if family then vote(row.stack, family) end
  local function cell(offset, size)
    return number_at(row.bytes, INFO_START + offset, size)
  end
  if event == 1 or event == 2 then
    if not row.has_info then vote(row.stack, BASE) end
    if event == 1 and family == RACK then bound(cell(88, 2) > 0 or cell(92, 2) > 0) end
  elseif event == 13 and family == RACK then
    bound(cell(84, 4) > 0)
  elseif event == 27 and family == RACK then
    bound(cell(80, 4) > 0)
  elseif event == 3 then
    if row.flex1 > 0 or row.flex2 > 0 then not_before("14") end
  elseif event == 54 then
    if row.has_info then not_before("14") else not_after("13") end
  elseif event >= 62 and event <= 65 then
    not_before("13")
  elseif event >= 66 and event <= 70 then
    not_before("14")
  elseif event == 72 then
    not_before("15")
  end
end

local function release_now()
  if wanted_release then return wanted_release end
  local release = newest or NEWEST
  return math.max(oldest or release, release)
end

local function voted(id)
  local of = votes[id]
  if not of then return nil end
  local most = BASE
  for family = RACK, BBR do
    if of[family] >= of[most] then most = family end
  end
  return most
end

---------------------------------------------------------------- the tree

-- A 64-bit number, or one that fits the field.
local function native(field, hi, lo, wide)
  if wide then
    return field.signed and Int64.new(lo, hi) or UInt64.new(lo, hi)
  end
  if is_negative(field, hi) then return lo - TWO32 end
  return lo
end

local PLAIN = { count = true, seq = true, rseq = true, line = true }

local function add_field(tree, row, payload, at, release, visible)
  local hi, lo = value_of(row, payload, at)
  if not hi then return end
  local cell = payload.fields[at]
  local field = fields[cell[1]]
  local offset, size, low = cell[2], cell[3], cell[6]
  if low then
    -- The halves are one range only where they are neighbours.
    if low + 4 == offset or offset + 4 == low then
      offset = math.min(offset, low)
    else
      size = 4
    end
  end
  local range = row.tvb(row.start + offset, size)
  if field.unit == "pointer" then
    tree:add(field.field, range, show_pointers and hex(hi, lo) or "masked")
    return
  end
  local value = native(field, hi, lo, field.wide)
  if not visible or PLAIN[field.unit] then
    tree:add(field.field, range, value)
    return
  end
  local text = written(field, hi, lo, release)
  local plain = is_negative(field, hi) and "-" .. digits(joined(negated(hi, lo))) or digits(joined(hi, lo))
  if field.unit == "flags" then plain = hex(hi, lo) end
  if text ~= plain then text = text .. " (" .. plain .. ")" end
  tree:add(field.field, range, value, field.name .. ": " .. text)
end

local function add_raw(tree, row, cells)
  if not row.has_info then return end
  for _, cell in ipairs(cells) do
    for at = 0, cell.count - 1 do
      local offset = cell.offset + at * cell.size
      local hi, lo = halves_at(row.bytes, offset, cell.size)
      local range = row.tvb(row.start + offset, cell.size)
      if cell.size == 8 and may_be_pointer(hi) and not show_pointers then
        tree:add(own.masked, range, cell.name, cell.name .. ": masked")
      else
        tree:add(raw_fields[cell.name], range, cell.size == 8 and UInt64.new(lo, hi) or lo)
      end
    end
  end
end

local function stack_name(id, family)
  return names_of_stacks[id] or family and DATA.families[family]
end

local function event_row(info, pinfo, tree)
  local tvb = info.source
  local start = info.offset - 20
  if not tvb or start < 0 or tvb:len() < start + 32 then return end
  local length = math.min(tvb:len() - start, 268)
  local bytes = tvb:raw(start, length)
  local flag_bits = number_at(bytes, 26, 2)
  local row = {
    tvb = tvb, start = start, bytes = bytes,
    stack = byte(bytes, 25), event = byte(bytes, 26), errno = number_at(bytes, 28, 4),
    has_info = length >= INFO_END and floor(flag_bits / STACKINFO) % 2 == 1,
    flex1 = length >= 144 and number_at(bytes, 140, 4) or 0,
    flex2 = length >= 148 and number_at(bytes, 144, 4) or 0,
  }
  if not pinfo.visited then learn(row) end
  local release = release_now()
  local family = sign(row)
  local seen = voted(row.stack)
  if not family and names_of_stacks[row.stack] then family = family_of(names_of_stacks[row.stack]) end
  family = family or seen
  local payload
  for _, candidate in ipairs(payloads_to_try(row.event, family, release, row.has_info)) do
    if fits(row, candidate) then
      payload = candidate
      break
    end
  end

  local visible = tree.visible
  local name, says = event_of(row.event, release)[1], sentence(row, payload, release)
  local stack = stack_name(row.stack, seen or family)
  local top = tree:add(proto, tvb(start, length))
  top:append_text(", " .. name .. (stack and " (" .. stack .. ")" or "") .. ": " .. says)
  top:add(own.event, tvb(start + 25, 1), name)
  if stack then top:add(own.stack, tvb(start + 24, 1), stack) end
  if payload and payload.class then top:add(own.class, payload.class):set_generated() end
  top:add(own.says, says):set_generated()
  top:add(own.release, DATA.releases[release]):set_generated()
  if payload then
    for at = 1, #payload.fields do add_field(top, row, payload, at, release, visible) end
  end
  add_raw(top, row, raw_cells(row.event, payload, release))

  local branch = top:add(proto, tvb(start, length), "State of the connection")
  local una, max
  for _, one in ipairs(state) do
    local valid = not one.valid or floor(flag_bits / one.valid) % 2 == 1
    if valid and one.offset + one.size <= length then
      local value = number_at(bytes, one.offset, one.size)
      if one.width < 8 * one.size then value = floor(value / 2 ^ one.shift) % 2 ^ one.width end
      if one.signed and value >= 2 ^ (one.width - 1) then value = value - 2 ^ one.width end
      if one.name == "snd_una" then una = value end
      if one.name == "snd_max" then max = value end
      branch:add(one.field, tvb(start + one.offset, one.size), floor(value))
    end
  end
  if una and max then branch:add(own.flight, (max - una) % TWO32):set_generated() end
end

local function value_or_nil(field)
  local info = field and field()
  return info and tonumber(tostring(info.value))
end

local EVENTS_BY_DIRECTION = { 1, 2 }

-- The option of a packet is out of reach; what Wireshark makes of it is not.
local function packet(pinfo, tree)
  local event = value_or_nil(packet_event)
  if not event and packet_direction then
    event = EVENTS_BY_DIRECTION[(value_or_nil(packet_direction) or 0) % 4]
  end
  local id, flag_bits = value_or_nil(packet_stack), value_or_nil(packet_flags)
  -- RACK and BBR write their bytes with every segment, the base stack never.
  if not pinfo.visited and id and flag_bits and event and event <= 2
    and floor(flag_bits / STACKINFO) % 2 == 0 then
    vote(id, BASE)
  end
  local release = release_now()
  local stack = id and stack_name(id, voted(id))
  local top = tree:add(proto)
  if event then
    local name = event_of(event, release)[1]
    top:append_text(", " .. name)
    top:add(own.event, name):set_generated()
  end
  if stack then top:add(own.stack, stack):set_generated() end
  local branch = top:add(proto, "State of the connection")
  local una, max
  for _, one in ipairs(state) do
    local valid = not one.valid or not flag_bits or floor(flag_bits / one.valid) % 2 == 1
    local value = valid and value_or_nil(one.packet)
    if value then
      if one.name == "snd_una" then una = value end
      if one.name == "snd_max" then max = value end
      branch:add(one.field, value):set_generated()
    end
  end
  if una and max then branch:add(own.flight, (max - una) % TWO32):set_generated() end
end

for at, declared in ipairs(DATA.fields) do fields[at].wide = declared[3]:sub(-2) == "64" end
prefs_changed()

function proto.init()
  prefs_changed()
  forget()
end

function proto.dissector(_, pinfo, tree)
  local info = row_serial and row_serial()
  if info then
    event_row(info, pinfo, tree)
  elseif packet_serial and packet_serial() then
    packet(pinfo, tree)
  end
end

register_postdissector(proto)
