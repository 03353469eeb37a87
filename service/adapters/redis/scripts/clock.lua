-- The clock, and the amounts of a minute. Stands before every prelude. Times are microseconds since 1970.
--
-- One field has the amounts of a minute: their sum, then a record for each second with an amount, oldest first. A record is
-- the time of the second's last amount and the second's sum, 8 bytes each. It counts until that time is 60 seconds ago. So
-- no 60 seconds hold more than the limit, and a refusal is at most one second earlier than in an exact log. There are at
-- most 61 records, 984 bytes, for any limit.

local SECOND, MINUTE = 1000000, 60000000
local SUM, RECORD, RECORD_BYTES = '>I8', '>I8I8', 16

local time = redis.call('TIME')
local now = tonumber(time[1]) * SECOND + tonumber(time[2])
local second_begins = tonumber(time[1]) * SECOND

local function whole(number)
  return string.format('%.0f', number)
end

-- Time and amount of the newest record, or nothing.
local function newest(records)
  if #records > 0 then
    return struct.unpack(RECORD, records, #records - RECORD_BYTES + 1)
  end
end

-- Add an amount to this second. After a clock was set back, records ahead of it are moved to now: their amounts are older.
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

-- Microseconds until no record of a minute counts any more.
local function resets_in(minute)
  local at = newest(minute.records)
  return at and at + MINUTE - now or 0
end

-- Microseconds until the minute has room for an amount (-1: never), or nothing if there is room now.
local function wait_for_room(minute, amount, max)
  local over = minute.used + amount - max
  if amount == 0 or over <= 0 then
    return nil
  end
  if amount > max then
    return -1
  end
  local at, taken, place = nil, nil, 1
  repeat
    at, taken, place = struct.unpack(RECORD, minute.records, place)
    over = over - taken
  until over <= 0
  return at + MINUTE - now
end
