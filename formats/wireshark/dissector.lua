-- The preferences, what rows betray of their stack, release and clock, and the
-- tree of a row.

local STACKINFO = 0x10
local NEWEST = #DATA.releases

local proto = Proto("tcplog", "TCP black box")
proto.prefs.release = Pref.string("Release", DATA.release,
  "FreeBSD release that logged: auto, " .. table.concat(DATA.releases, ", "))
proto.prefs.stack_names = Pref.string("Names of stacks", DATA.stack_names,
  "As sysctl net.inet.tcp.function_info gives them: 1=freebsd 2=rack 3=bbr")
proto.prefs.show_pointers = Pref.bool("Show kernel addresses", false,
  "Otherwise they are shown as masked")
proto.fields = all

-- Says once what is wrong. An error raised here would come again with every
-- file, and would keep the plugin from its work.
local told = {}
local function tell(text)
  if told[text] then return end
  told[text] = true
  if not pcall(report_failure, text) then io.stderr:write(text, "\n") end
end

---------------------------------------------------------------- preferences

local names_of_stacks = {}
local wanted_release
local show_pointers = false

-- As Stack::of_name of src/format/payload.rs.
local function family_of(name)
  name = name:lower()
  for at, family in ipairs(DATA.families) do
    if name:sub(1, #family) == family then return at end
  end
  if name:sub(1, 7) == "default" then return BASE end
end

local function prefs_changed()
  names_of_stacks = {}
  local given = tostring(proto.prefs.stack_names)
  for pair in given:gmatch("[^%s,]+") do
    local id, name = pair:match("^(%d+)=(.+)$")
    id = tonumber(id)
    if id and id <= 255 then
      names_of_stacks[id] = name
    else
      tell("tcplog.stack_names: " .. pair .. " is no ID=NAME")
    end
  end
  local release = tostring(proto.prefs.release):match("^%s*(.-)%s*$")
  wanted_release = RELEASE[release]
  if not wanted_release and release ~= "auto" and release ~= "" then
    tell("tcplog.release: no release " .. release .. "; there are auto, "
      .. table.concat(DATA.releases, ", "))
  end
  show_pointers = proto.prefs.show_pointers
end
proto.prefs_changed = prefs_changed

---------------------------------------------------------------- evidence

-- The rules are those of src/meaning/evidence.rs, the places in the stack
-- specific bytes those of its module `place`; a change there is one here.
-- What differs, for of a packet only Wireshark's fields are in reach:
-- * all events with a sign vote for their stack, there only segments;
-- * segments tell nothing of the release;
-- * each row is learnt from alone, there all records of a piece are before the
--   first of them is explained.

local RTT_PROP, FLEX6, LOST, PACING_GAIN, FLEX7, BBR_STATE = 16, 80, 84, 88, 92, 94
local TICKS = 16
-- USUAL_HZ and HZ_SPAN.
local USUAL_HZ, HZ_SPAN, HZ_SPAN_END = 1000, 300000, 1000000000

local votes, oldest, newest, clocks, hz = {}, nil, nil, {}, nil
-- Numbers of the last event row and the last packet that were learnt from.
local last_event, last_packet = 0, 0

-- Another file: it may come from another host.
local function forget()
  votes, oldest, newest, clocks, hz = {}, nil, nil, {}, nil
  last_event, last_packet = 0, 0
end

local SIGNED = { [1] = true, [2] = true, [13] = true, [14] = true, [21] = true, [27] = true }

-- Evidence::sign: the family that the row itself shows. BBR writes its state and
-- the lowest RTT with these events, RACK never both.
local function sign(row)
  if not (row.has_info and SIGNED[row.event]) then return nil end
  local bbr_state = byte(row.bytes, INFO_START + BBR_STATE + 1)
  local hi, lo = halves_at(row.bytes, INFO_START + RTT_PROP, 8)
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

-- Evidence::learn_hz. Times of packets and of event rows may count from
-- different moments, so each kind is measured by itself.
local function learn_hz(kind, ticks, us)
  if hz or ticks == 0 then return end
  local first = clocks[kind]
  local elapsed = first and us - first.us
  if not first or elapsed < 0 or elapsed >= HZ_SPAN_END then
    clocks[kind] = { ticks = ticks, us = us }
  elseif elapsed >= HZ_SPAN then
    local passed = (ticks - first.ticks) % TWO32
    if passed >= TWO32 / 2 then passed = passed - TWO32 end
    local found = floor((passed * 100000 + floor(elapsed / 2)) / elapsed) * 10
    if found >= 10 and found <= 10000 then hz = found end
  end
end

-- Evidence::learn, of an event row that is met for the first time.
local function learn(row, number)
  if number <= last_event then return end
  last_event = number
  local event = row.event
  local sec_hi, sec = halves_at(row.bytes, 0, 8)
  local usec_hi, usec = halves_at(row.bytes, 8, 8)
  if sec_hi == 0 and usec_hi == 0 and usec < 1000000 then
    learn_hz("event", number_at(row.bytes, TICKS, 4), sec * 1000000 + usec)
  end
  local family = sign(row)
  if family then vote(row.stack, family) end
  local function cell(offset, size)
    return number_at(row.bytes, INFO_START + offset, size)
  end
  if event == 1 or event == 2 then
    if not row.has_info then vote(row.stack, BASE) end
    if event == 1 and family == RACK then bound(cell(PACING_GAIN, 2) > 0 or cell(FLEX7, 2) > 0) end
  elseif event == 13 and family == RACK then
    bound(cell(LOST, 4) > 0)
  elseif event == 27 and family == RACK then
    bound(cell(FLEX6, 4) > 0)
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

-- Evidence::release.
local function release_now()
  if wanted_release then return wanted_release end
  local release = newest or NEWEST
  return math.max(oldest or release, release)
end

-- Evidence::stack.
local function voted(id)
  local of = votes[id]
  if not of then return nil end
  local most = BASE
  for family = RACK, BBR do
    if of[family] >= of[most] then most = family end
  end
  return most
end

-- Meanings::family of src/meaning/mod.rs: a name of RACK or BBR is sure; another
-- one is not, for both log already while a connection is handed over to them.
local function family_by(id, own_sign)
  local given = names_of_stacks[id]
  local named = given and family_of(given)
  if named == RACK or named == BBR then return named end
  return own_sign or named or voted(id)
end

-- Evidence::srtt_us: RACK keeps microseconds since 13.1, everything else ticks,
-- 32 to each.
local function srtt_us(srtt, family, release)
  if not srtt or srtt == 0 then return nil end
  if family == RACK and release >= RELEASE["13"] then return srtt end
  return (divided(srtt * 1000000, 32 * (hz or USUAL_HZ)))
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
      if cell.size == 8 and may_be_pointer(hi, lo) and not show_pointers then
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

-- What follows from several fields of the state.
local function add_derived(branch, values, family, release)
  local una, max = values.snd_una, values.snd_max
  if una and max then branch:add(own.flight, (max - una) % TWO32):set_generated() end
  local us = srtt_us(values.srtt, family, release)
  if us then
    branch:add(own.srtt_us, UInt64.new(floor(us % TWO32), floor(us / TWO32))):set_generated()
  end
end

-- Bytes that Wireshark keeps of an event row.
local ROW_LENGTH = 268

local function row_at(tvb, start)
  if start < 0 or tvb:len() < start + 32 then return nil end
  local length = math.min(tvb:len() - start, ROW_LENGTH)
  local bytes = tvb:raw(start, length)
  local flag_bits = number_at(bytes, 26, 2)
  return {
    tvb = tvb, start = start, length = length, bytes = bytes, flag_bits = flag_bits,
    stack = byte(bytes, 25), event = byte(bytes, 26), errno = number_at(bytes, 28, 4),
    has_info = length >= INFO_END and floor(flag_bits / STACKINFO) % 2 == 1,
    flex1 = length >= 144 and number_at(bytes, 140, 4) or 0,
    flex2 = length >= 148 and number_at(bytes, 144, 4) or 0,
  }
end

-- In the first pass of tshark -2, and of Wireshark without color rules, there
-- are no fields to tell what a row is. What has the length of an event row and
-- no addresses is taken for one.
local function learn_blindly(tvb, pinfo)
  local address = tostring(pinfo.net_src)
  if tvb:len() == ROW_LENGTH and (address == "NONE" or address == "") then
    learn(row_at(tvb, 0), pinfo.number)
  end
end

local function event_row(info, pinfo, tree)
  local tvb = info.source
  local row = tvb and row_at(tvb, info.offset - 20)
  if not row then return end
  local start, length, bytes, flag_bits = row.start, row.length, row.bytes, row.flag_bits
  learn(row, pinfo.number)
  local release = release_now()
  local family = family_by(row.stack, sign(row))
  local payload
  for _, candidate in ipairs(payloads_to_try(row.event, family, release, row.has_info)) do
    if fits(row, candidate) then
      payload = candidate
      break
    end
  end

  local visible = tree.visible
  local name, says = event_of(row.event, release)[1], sentence(row, payload, release)
  local stack = stack_name(row.stack, voted(row.stack))
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
  local values = {}
  for _, one in ipairs(state) do
    local valid = not one.valid or floor(flag_bits / one.valid) % 2 == 1
    if valid and one.offset + one.size <= length then
      local value = number_at(bytes, one.offset, one.size)
      if one.width < 8 * one.size then value = floor(value / 2 ^ one.shift) % 2 ^ one.width end
      if one.signed and value >= 2 ^ (one.width - 1) then value = value - 2 ^ one.width end
      values[one.name] = value
      branch:add(one.field, tvb(start + one.offset, one.size), floor(value))
    end
  end
  add_derived(branch, values, family, release)
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
  if pinfo.number > last_packet then
    last_packet = pinfo.number
    local ticks = value_or_nil(packet_ticks)
    if ticks then learn_hz("packet", ticks, floor(pinfo.abs_ts * 1000000 + 0.5)) end
    -- RACK and BBR write their bytes with every segment, the base stack never.
    if id and flag_bits and event and event <= 2 and floor(flag_bits / STACKINFO) % 2 == 0 then
      vote(id, BASE)
    end
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
  local values = {}
  for _, one in ipairs(state) do
    local valid = not one.valid or not flag_bits or floor(flag_bits / one.valid) % 2 == 1
    local value = valid and value_or_nil(one.packet)
    if value then
      values[one.name] = value
      branch:add(one.field, value):set_generated()
    end
  end
  add_derived(branch, values, id and family_by(id), release)
end

prefs_changed()

function proto.init()
  prefs_changed()
  forget()
end

function proto.dissector(tvb, pinfo, tree)
  local info = row_serial and row_serial()
  if info then
    event_row(info, pinfo, tree)
  elseif packet_serial and packet_serial() then
    packet(pinfo, tree)
  elseif any_field and not any_field() then
    learn_blindly(tvb, pinfo)
  end
end

register_postdissector(proto)
