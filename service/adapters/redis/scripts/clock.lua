-- Stands before every prelude: the clock, and the amounts of a minute. Times are microseconds since 1970.
--
-- The amounts of a minute are kept in one field: their sum, then for every second in which something was taken the time of
-- the last amount in it and their sum, oldest first; 8 bytes each. They count until that time is 60 seconds ago. So no 60
-- seconds ever hold more than the limit, and a refusal is at most one second earlier than in an exact log. There are at
-- most 61 records, 984 bytes, however large the limit is.

local SECOND, MINUTE = 1000000, 60000000
local SUM, RECORD, RECORD_BYTES = '>I8', '>I8I8', 16

local time = redis.call('TIME')
local now = tonumber(time[1]) * SECOND + tonumber(time[2])
local second_begins = tonumber(time[1]) * SECOND

local function whole(number)
  return string.format('%.0f', number)
end

-- The time and the amount of the newest record; nothing if there is none.
local function newest(records)
  if #records > 0 then
    return struct.unpack(RECORD, records, #records - RECORD_BYTES + 1)
  end
end

-- Add an amount to this second. Records ahead of the clock, which was set back, are moved to now: what they count was taken
-- before.
local function add_to_minute(minute, amount)
  local records, sum = minute.records, amount
  local at, taken = newest(records)
  while at and at >= second_begins do
    records, sum = string.sub(records, 1, -RECORD_BYTES - 1), sum + taken
    at, taken = newest(records)
  end
  minute.records = records .. struct.pack(RECORD, now, sum)
  minute.used = minute.used + amount
end

-- Read the records that still count, and their sum.
local function read_minute(packed)
  if not packed then
    return { records = '', used = 0 }
  end
  local used, place = struct.unpack(SUM, packed)
  while place <= #packed do
    local at, amount, following = struct.unpack(RECORD, packed, place)
    if at + MINUTE > now then
      break
    end
    used, place = used - amount, following
  end
  local minute = { records = string.sub(packed, place), used = used }
  if (newest(minute.records) or 0) > now then
    add_to_minute(minute, 0)
  end
  return minute
end

local function pack_minute(minute)
  return struct.pack(SUM, minute.used) .. minute.records
end

-- How long until nothing of a minute counts any more.
local function whole_in(minute)
  local at = newest(minute.records)
  return at and at + MINUTE - now or 0
end

-- Nothing if the minute has room for an amount, else the wait for it (-1: there never is).
local function wait_for_room(minute, amount, most)
  local over = minute.used + amount - most
  if amount == 0 or over <= 0 then
    return nil
  end
  if amount > most then
    return -1
  end
  local at, taken, place = nil, nil, 1
  repeat
    at, taken, place = struct.unpack(RECORD, minute.records, place)
    over = over - taken
  until over <= 0
  return at + MINUTE - now
end
