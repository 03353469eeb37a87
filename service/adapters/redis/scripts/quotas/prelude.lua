-- Functions that several verbs use. Stands before every script of quotas, behind clock.lua. A team's keys are in one slot.
--
-- KEYS[1] igw:{team}:state   hash: all counters of the team, so that they exist together or are lost together
--           ready                     run id of the server that counted; counters of any other run are not used
--           life                      epoch of the counters: where and when it began (snapshot.lua)
--           version                   grows with every entry, so that a rebuild misses none
--           today                     day on which fields of old windows were last deleted
--           rate2:<measure>:<scope>   amounts of the last minute, as in clock.lua (the first version: rate:<measure>:<scope>)
--           upgraded:<scope>          time of the last hold that was posted in this tier and not held in it
--           open:<scope>              images in open holds
--           day:<day>:<scope>, month:<yyyymm>:<scope>    nano-USD, posted and held
-- KEYS[2] igw:{team}:holds   sorted set: id of an open hold -> end of its lease, microseconds since 1970
-- KEYS[3] igw:{team}:outbox  stream: entries on their way to the ledger
-- igw:{team}:hold:<id>       hash of one hold; an ended hold has only its `state`, for an hour. `quote` is held in each of its
--           `scopes`, unless `quotes` has an amount for each (the first version wrote `quote` alone)
--
-- Money and time are whole numbers below 2^53, which a Lua number holds exactly. They are written with '%.0f', because Lua
-- and the server would both round them otherwise. Counters of money have no TTL, so a server that evicts keys with a TTL
-- (volatile-*) cannot evict money.

local DAY = 86400000000
local TOMBSTONE_MS = 3600000
local CHUNK = 1000 -- fields in one command; a call in Lua takes at most about 8,000 arguments

local function hold_key(id)
  return string.sub(KEYS[2], 1, -2) .. ':' .. id -- …:holds -> …:hold:<id>
end

-- Year and month of a day since 1970. Days are shifted so that a leap day ends a year and a cycle of 400 years.
local function civil(day)
  local shifted = day + 719468
  local cycle = math.floor(shifted / 146097)
  local of_cycle = shifted - cycle * 146097
  local skipped = math.floor(of_cycle / 1460) - math.floor(of_cycle / 36524) + math.floor(of_cycle / 146096)
  local year = math.floor((of_cycle - skipped) / 365)
  local of_year = of_cycle - 365 * year - math.floor(year / 4) + math.floor(year / 100)
  local month = math.floor((5 * of_year + 2) / 153)
  if month < 10 then
    return cycle * 400 + year, month + 3
  end
  return cycle * 400 + year + 1, month - 9
end

-- Prefixes of the fields for the day and the month of a time.
local function windows(at)
  local day = math.floor(at / DAY)
  return string.format('day:%d:', day), string.format('month:%04d%02d:', civil(day))
end

local function lines(text)
  local list = {}
  for line in string.gmatch(text, '[^\n]+') do
    list[#list + 1] = line
  end
  return list
end

-- Call a command with the members of a list, a chunk at a time.
local function in_chunks(command, key, list)
  for first = 1, #list, CHUNK do
    redis.call(command, key, unpack(list, first, math.min(first + CHUNK - 1, #list)))
  end
end

local function add(amounts, field, amount)
  amounts[field] = (amounts[field] or 0) + amount
end

-- Add money in scopes, to the day and the month of a time.
local function spend(amounts, at, scopes, nanos)
  local day, month = windows(at)
  for _, scope in ipairs(scopes) do
    add(amounts, day .. scope, nanos)
    add(amounts, month .. scope, nanos)
  end
end

-- Images and nano-USD of a hold by scope, decoded from a hold request or from the hold's hash.
local function shares(images, quote, scopes, quotes)
  local held = { images = tonumber(images), scopes = lines(scopes), quotes = lines(quotes or '') }
  for place = #held.quotes + 1, #held.scopes do
    held.quotes[place] = quote
  end
  return held
end

-- Add the amounts that a hold sets aside; with sign -1, the amounts that it gives back.
local function set_aside(amounts, at, held, sign)
  local day, month = windows(at)
  for place, scope in ipairs(held.scopes) do
    local nanos = sign * tonumber(held.quotes[place])
    add(amounts, day .. scope, nanos)
    add(amounts, month .. scope, nanos)
    add(amounts, 'open:' .. scope, sign * held.images)
  end
end

-- Give back the amounts of an open hold, as read by `find`.
local function give_back(amounts, hold)
  set_aside(amounts, hold.held_at, hold.held, -1)
end

-- Read a hold: its state, and the amounts of an open hold. An empty table if there is no hold of that id.
local function find(id)
  local values = redis.call('HMGET', hold_key(id), 'state', 'held_at', 'images', 'quote', 'scopes', 'quotes')
  if not values[2] then
    return { state = values[1] or nil }
  end
  return {
    state = values[1],
    open = true,
    held_at = tonumber(values[2]),
    held = shares(values[3], values[4], values[5], values[6]),
  }
end

-- Add amounts to fields of the state. `writes` are more fields and values for the same command.
local function shift(amounts, writes)
  local fields = {}
  for field in pairs(amounts) do
    fields[#fields + 1] = field
  end
  writes = writes or {}
  for first = 1, #fields, CHUNK do
    local last = math.min(first + CHUNK - 1, #fields)
    local had = redis.call('HMGET', KEYS[1], unpack(fields, first, last))
    for place = first, last do
      writes[#writes + 1] = fields[place]
      writes[#writes + 1] = whole((tonumber(had[place - first + 1]) or 0) + amounts[fields[place]])
    end
  end
  in_chunks('HSET', KEYS[1], writes)
end

-- A hold request in ARGV: id, quote, images, scopes, their quotes ('': the quote in each), cost, scopes of the post, entry.
local HOLD_REQUEST = 8
local function requested(first)
  return shares(ARGV[first + 2], ARGV[first + 1], ARGV[first + 3], ARGV[first + 4])
end

-- Write an open hold. Its request begins at ARGV[first].
local function put(first, state, held_at, lease_end)
  local key = hold_key(ARGV[first])
  redis.call('HSET', key, 'state', state, 'held_at', whole(held_at),
    'quote', ARGV[first + 1], 'images', ARGV[first + 2], 'scopes', ARGV[first + 3],
    'cost', ARGV[first + 5], 'booked', ARGV[first + 6], 'entry', ARGV[first + 7])
  if ARGV[first + 4] ~= '' then
    redis.call('HSET', key, 'quotes', ARGV[first + 4])
  end
  redis.call('ZADD', KEYS[2], whole(lease_end), ARGV[first])
end

-- End a hold. Its state is remembered, so that every verb can be repeated.
local function finish(id, state)
  local key = hold_key(id)
  redis.call('DEL', key)
  redis.call('HSET', key, 'state', state)
  redis.call('PEXPIRE', key, TOMBSTONE_MS)
  redis.call('ZREM', KEYS[2], id)
end

-- Put an entry into the outbox and count its cost. Returns the id in the outbox.
local function post_entry(amounts, entry, held_at, scopes, cost)
  spend(amounts, held_at, lines(scopes), cost)
  add(amounts, 'version', 1)
  return redis.call('XADD', KEYS[3], '*', 'entry', entry, 'held_at', whole(held_at), 'posted_at', whole(now))
end

-- Run id of this server process. A restart and a failover change it.
local function run_id()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

-- Whether an epoch began in this run of the server: counters were not lost since.
local function is_of_this_run(epoch)
  return epoch and string.match(epoch, '^%x+') == run_id()
end

local ASKS = {
  requests_per_minute = 'requests',
  images_per_minute = 'images',
  concurrent_images = 'images',
  usd_per_day = 'quote',
  usd_per_month = 'quote',
}

-- Decode limits from ARGV[first] on: scope, measure, maximum.
local function limits_from(first, count)
  local day, month = windows(now)
  local limits = {}
  for place = first, first + 3 * (count - 1), 3 do
    local scope, measure = ARGV[place], ARGV[place + 1]
    local limit = { scope = scope, measure = measure, asks = ASKS[measure], max = tonumber(ARGV[place + 2]), rate = false }
    if measure == 'usd_per_day' then
      limit.field = day .. scope
    elseif measure == 'usd_per_month' then
      limit.field = month .. scope
    elseif measure == 'concurrent_images' then
      limit.field = 'open:' .. scope
    else
      limit.field = 'rate2:' .. measure .. ':' .. scope
      limit.rate = true
    end
    limits[#limits + 1] = limit
  end
  return limits
end

-- Read the value of every limit. Returns whether this run of the server counted, and the day of the last cleaning.
local function read(limits)
  local fields = { 'ready', 'today' }
  for place, limit in ipairs(limits) do
    fields[place + 2] = limit.field
  end
  local values = redis.call('HMGET', KEYS[1], unpack(fields))
  for place, limit in ipairs(limits) do
    if limit.rate then
      limit.minute = read_minute(values[place + 2])
      limit.value = limit.minute.used
    else
      limit.value = tonumber(values[place + 2]) or 0
    end
  end
  return values[1] == run_id(), values[2]
end

-- Used amount of a limit, and microseconds until a rate is free again. Windows of money end by the calendar.
local function status(limit)
  return limit.value, limit.rate and resets_in(limit.minute) or 0
end

-- Append the status of each limit to a reply.
local function with_status(reply, limits)
  for _, limit in ipairs(limits) do
    local used, resets = status(limit)
    reply[#reply + 1] = used
    reply[#reply + 1] = resets
  end
  return reply
end
