-- The tree of a row, and of a packet.

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
  if field.wide and may_be_address(hi, lo) and not show_pointers then
    tree:add(own.masked, range, field.name, field.name .. ": masked")
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
      if may_be_address(hi, lo) and not show_pointers then
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
    has_first_pass = true
    learn(row_at(tvb, 0), pinfo.number)
  end
end

local function event_row(info, pinfo, tree)
  local tvb = info.source
  local row = tvb and row_at(tvb, info.offset - 20)
  if not row then return end
  local start, length, bytes, flag_bits = row.start, row.length, row.bytes, row.flag_bits
  learn(row, pinfo.number)
  local release = release_at(pinfo.number)
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
  end
  local release = release_at(pinfo.number)
  local family
  if id then
    family = family_by(id)
  elseif flag_bits then
    family, id = guess_of_segment(flag_bits)
  end
  -- Without a number, the user may call it something else.
  local stack = id and stack_name(id, voted(id))
    or family and not next(names_of_stacks) and DATA.families[family]
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
  add_derived(branch, values, family, release)
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
