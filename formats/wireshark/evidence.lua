-- The preferences, and what rows betray of their stack, release and clock.

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
-- specific bytes those of src/bblog/stackinfo.rs; a change there is one here.
-- What differs, for of a packet only some of Wireshark's fields are in reach
-- (none of its stack specific bytes, and in no version up to 4.4 its stack):
-- * Rows without a packet vote for their stack, there only segments do: those
--   that show RACK or BBR, and for the base stack those without stack specific
--   bytes. A connection of RACK or BBR has more of the former.
-- * Segments tell nothing of the release. All that RACK logs with other events
--   tells it as well.
-- * There a record is explained by those before it and by the first ones of its
--   message (Meanings::begin). Where a message begins cannot be seen; what the
--   first rows of a connection tell of the release is counted from the first one
--   on. What rows tell of stacks and of the clock, other than the release, counts
--   for the whole file. All this needs two passes, as Wireshark has and
--   `tshark -2`; with one pass a row is explained by those before it.

local RTT_PROP, FLEX6, LOST, PACING_GAIN, FLEX7, BBR_STATE = 16, 80, 84, 88, 92, 94
-- In the row: tlb_ticks, and tlb_starttime and tlb_iss.
local TICKS, CONNECTION = 16, 60
-- Kernels do not set the time of this event.
local ACCOUNTING = 62
local USUAL_HZ, HZ_ROUGH, HZ_EXACT, HZ_FAR = 1000, 18000, 500000, 1000000000
-- In one pass, so many rows without stack specific bytes make a base stack; RACK
-- and BBR begin a connection with a few.
local ENOUGH = 16

-- Of src/meaning/mod.rs, here in frames of the file.
local LOOK_AHEAD = 128

-- By release, the number of the first row after which it is known that none older
-- (or newer) wrote the rows.
local not_before_since, not_after_since
-- By connection, the number of its first row.
local first_rows
local votes, clocks, hz, hz_is_exact
-- Numbers of the last event row and the last packet that were learnt from.
local last_event, last_packet
-- True once a first pass has met the rows of the file.
local has_first_pass

-- Another file: it may come from another host.
local function forget()
  not_before_since, not_after_since, first_rows = {}, {}, {}
  votes, clocks, hz, hz_is_exact = {}, {}, nil, false
  last_event, last_packet = 0, 0
  has_first_pass = false
end
forget()

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

local function since(known, name, number)
  local release = RELEASE[name]
  known[release] = math.min(known[release] or number, number)
end

local function not_before(name, number) since(not_before_since, name, number) end
local function not_after(name, number) since(not_after_since, name, number) end

-- What RACK writes since 13.1 is there or missing.
local function bound(is_newer, number)
  if is_newer then not_before("13", number) else not_after("13.0", number) end
end

-- The number of the row from which on counts what this one tells.
local function counts_from(row, number)
  local connection = row.bytes:sub(CONNECTION + 1, CONNECTION + 8)
  local first = first_rows[connection]
  if not first then
    -- Segments may have come before; the first connection has all of them.
    first = next(first_rows) and number or math.min(number, 1)
    first_rows[connection] = first
  end
  return number - first < LOOK_AHEAD and first or number
end

-- hz_by_law: what one event row of a kernel tells.
local function hz_by_law(ticks, us)
  for _, one in ipairs({ 1000, 100, 250 }) do
    local ahead = (floor(us * one / 1000000) - (ticks - 2147483647 + 600 * one)) % TWO32
    if ahead >= TWO32 / 2 then ahead = TWO32 - ahead end
    if ahead < 2 * one then return one end
  end
end

-- Evidence::learn_hz. Times of packets and of event rows may count from
-- different moments, so each kind is measured by itself.
local function learn_hz(kind, ticks, us)
  if hz_is_exact or ticks == 0 then return end
  local first = clocks[kind]
  local elapsed = first and us - first.us
  if not first or elapsed < 0 or elapsed >= HZ_FAR then
    clocks[kind] = { ticks = ticks, us = us }
    local found = not first and kind == "event" and hz_by_law(ticks, us)
    if found then hz, hz_is_exact = found, true end
  elseif elapsed >= HZ_ROUGH then
    local passed = (ticks - first.ticks) % TWO32
    if passed >= TWO32 / 2 then passed = passed - TWO32 end
    local found = floor((passed * 100000 + floor(elapsed / 2)) / elapsed) * 10
    if found < 10 or found > 10000 then found = nil end
    hz_is_exact = found ~= nil and elapsed >= HZ_EXACT
    if found and not hz_is_exact then
      if found < 160 then
        found = 100
      elseif found < 500 then
        found = 250
      elseif found < 2000 then
        found = 1000
      end
    end
    hz = found
  end
end

-- Evidence::learn, of an event row that is met for the first time.
local function learn(row, number)
  if number <= last_event then return end
  last_event = number
  number = counts_from(row, number)
  local event = row.event
  local sec_hi, sec = halves_at(row.bytes, 0, 8)
  local usec_hi, usec = halves_at(row.bytes, 8, 8)
  if sec_hi == 0 and usec_hi == 0 and usec < 1000000 and event ~= ACCOUNTING then
    learn_hz("event", number_at(row.bytes, TICKS, 4), sec * 1000000 + usec)
  end
  local family = sign(row)
  if family then
    vote(row.stack, family)
  elseif not row.has_info then
    vote(row.stack, BASE)
  end
  local function cell(offset, size)
    return number_at(row.bytes, INFO_START + offset, size)
  end
  if event == 1 or event == 2 then
    if event == 1 and family == RACK then bound(cell(PACING_GAIN, 2) > 0 or cell(FLEX7, 2) > 0, number) end
  elseif event == 13 and family == RACK then
    bound(cell(LOST, 4) > 0, number)
  elseif event == 27 and family == RACK then
    bound(cell(FLEX6, 4) > 0, number)
  elseif event == 3 then
    if row.flex1 > 0 or row.flex2 > 0 then not_before("14", number) end
  elseif event == 54 then
    if row.has_info then not_before("14", number) else not_after("13", number) end
  elseif event >= 62 and event <= 65 then
    not_before("13", number)
  elseif event >= 66 and event <= 70 then
    not_before("14", number)
  elseif event == 72 then
    not_before("15", number)
  end
end

-- Evidence::release, of the row with a number.
local function release_at(number)
  if wanted_release then return wanted_release end
  local oldest, newest = 1, NEWEST
  for release, from in pairs(not_before_since) do
    if from <= number then oldest = math.max(oldest, release) end
  end
  for release, from in pairs(not_after_since) do
    if from <= number then newest = math.min(newest, release) end
  end
  return math.max(oldest, newest)
end

-- Evidence::stack.
local function voted(id)
  local of = votes[id]
  if not of then return nil end
  local most = BASE
  for family = RACK, BBR do
    if of[family] >= of[most] then most = family end
  end
  if most == BASE and of[BASE] < ENOUGH and not has_first_pass then return nil end
  return most
end

-- The family that the user's name of a stack stands for.
local function named_family(id)
  local given = names_of_stacks[id]
  return given and family_of(given)
end

-- Meanings::family of src/meaning/mod.rs: a name of RACK or BBR is sure; another
-- one is not, for both log already while a connection is handed over to them.
local function family_by(id, own_sign)
  local named = named_family(id)
  if named == RACK or named == BBR then return named end
  return own_sign or named or voted(id)
end

-- Of a segment whose stack is out of reach: its family, and the stack's number
-- where all rows of that family have one. RACK and BBR write their bytes with
-- every segment, the base stack never; which of the two it was shows only where
-- a first pass met rows of no other.
local function guess_of_segment(flag_bits)
  local has_info = floor(flag_bits / STACKINFO) % 2 == 1
  local family, number, several = not has_info and BASE or nil, nil, false
  if not has_first_pass then return family end
  for id in pairs(votes) do
    if (voted(id) ~= BASE) == has_info then
      local of = has_info and family_by(id) or BASE
      if family and family ~= of then return nil end
      several = several or number ~= nil
      family, number = of, id
    end
  end
  return family, not several and number or nil
end

-- Evidence::srtt_us: RACK keeps microseconds since 13.1, everything else ticks,
-- 32 to each. Unknown where the family decides and is not known. Until the rows
-- tell how long a tick is, it is taken for what kernels usually have.
local function srtt_us(srtt, family, release)
  if not srtt or srtt == 0 then return nil end
  if release >= RELEASE["13"] then
    if family == RACK then return srtt end
    if not family then return nil end
  end
  return (divided(srtt * 1000000, 32 * (hz or USUAL_HZ)))
end
