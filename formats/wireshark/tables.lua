-- Fields, and what the tables know of an event: its name, its payloads, and the
-- cells that those leave without a name. Picked as src/meaning/plan.rs picks.

local INFO_START, INFO_END = 160, 264
local BASE, RACK, BBR = 1, 2, 3

local RELEASE = {}
for at, name in ipairs(DATA.releases) do RELEASE[name] = at end

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
    "Field or cell whose content may be a kernel address"),
  flight = define(ProtoField.uint32, "tcplog.state.flight", "flight", base.DEC, nil, nil,
    "snd_max - snd_una: bytes sent and not acknowledged"),
  srtt_us = define(ProtoField.uint64, "tcplog.state.srtt_us", "srtt_us", base.DEC, nil, nil,
    "smoothed RTT in microseconds, whatever the stack keeps in srtt"),
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
    signed = kind:sub(1, 1) == "i", wide = kind:sub(-2) == "64" }
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

local any_field = known("frame.number")
local row_serial = known("bblog.serial_nr")
local packet_serial = known("frame.bblog.serial_nr")
local packet_ticks = known("frame.bblog.ticks")
local packet_event = known("frame.bblog.event_id")
local packet_stack = known("frame.bblog.stack_id")
local packet_flags = known("frame.bblog.event_flags")
local packet_direction = known("frame.packet_flags_direction") or known("frame.packet_flags")

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
