-- Stands before every script, behind clock.lua: what more than one verb does. All of a team is in one slot.
--
-- KEYS[1] igw:{team}:state   hash: all counters of the team, so that they are there together or lost together
--           ready                     run id of the server that counted; any other server's counters are not believed
--           life                      since when the counters were not lost, as snapshot.lua has it
--           version                   grows with every entry; a rebuild must not miss one
--           today                     the day on which fields of old windows were last dropped
--           rate2:<measure>:<scope>   amounts of the last minute, as in clock.lua (the first version: rate:<measure>:<scope>)
--           upgraded:<scope>          when a hold was made last whose cost was posted in this tier, and that was not held in it
--           open:<scope>              images in open holds
--           day:<day>:<scope>, month:<yyyymm>:<scope>    nano-USD, booked and held
-- KEYS[2] igw:{team}:holds   sorted set: id of an open hold -> end of its lease, microseconds since 1970
-- KEYS[3] igw:{team}:outbox  stream: entries on their way to the books
-- igw:{team}:hold:<id>       hash of one hold; an ended one keeps its `state` alone, for an hour. `quote` is held in every one
--           of its `scopes`, unless `quotes` has an amount for each (the first version knew `quote` alone)
--
-- Money and time are whole numbers below 2^53, which a Lua number holds exactly; they are written with '%.0f', because
-- Lua and the server would both round them otherwise. Nothing that counts money has a TTL: a server that evicts keys
-- with one (volatile-*) cannot evict money.

local DAY = 86400000000
local TOMBSTONE_MS = 3600000
local CHUNK = 1000 -- fields in one command; a call in Lua takes at most about 8,000 arguments

local function hold_key(id)
  return string.sub(KEYS[2], 1, -2) .. ':' .. id -- …:holds -> …:hold:<id>
end

-- Year and month of a day since 1970 (the days are shifted so that a leap day ends a year and a cycle of 400 years).
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

-- What the fields of a time's day and month begin with.
local function windows(at)
  local day = math.floor(at / DAY)
  return string.format('day:%d:', day), string.format('month:%04d%02d:', civil(day))
end

local function lines(text)
  local found = {}
  for line in string.gmatch(text, '[^\n]+') do
    found[#found + 1] = line
  end
  return found
end

-- Call a command with a list's members, a chunk at a time.
local function in_chunks(command, key, list)
  for first = 1, #list, CHUNK do
    redis.call(command, key, unpack(list, first, math.min(first + CHUNK - 1, #list)))
  end
end

local function add(amounts, field, amount)
  amounts[field] = (amounts[field] or 0) + amount
end

-- Money in scopes, in the day and the month that contain `at`.
local function spend(amounts, at, scopes, nanos)
  local day, month = windows(at)
  for _, scope in ipairs(scopes) do
    add(amounts, day .. scope, nanos)
    add(amounts, month .. scope, nanos)
  end
end

-- Images and nano-USD of a hold by scope, as they are spelled in a claim and kept in its hash.
local function shares(images, quote, scopes, quotes)
  local found = { images = tonumber(images), scopes = lines(scopes), quotes = lines(quotes or '') }
  for place = #found.quotes + 1, #found.scopes do
    found.quotes[place] = quote
  end
  return found
end

-- Everything that a hold sets aside, or with sign -1 gives back.
local function set_aside(amounts, at, held, sign)
  local day, month = windows(at)
  for place, scope in ipairs(held.scopes) do
    local nanos = sign * tonumber(held.quotes[place])
    add(amounts, day .. scope, nanos)
    add(amounts, month .. scope, nanos)
    add(amounts, 'open:' .. scope, sign * held.images)
  end
end

-- Give back what an open hold set aside; `hold` is what `find` found.
local function give_back(amounts, hold)
  set_aside(amounts, hold.held_at, hold.held, -1)
end

-- The hold of that id: its state, and unless it has ended what it set aside. An empty table where there is none.
local function find(id)
  local found = redis.call('HMGET', hold_key(id), 'state', 'held_at', 'images', 'quote', 'scopes', 'quotes')
  if not found[2] then
    return { state = found[1] or nil }
  end
  return {
    state = found[1],
    open = true,
    held_at = tonumber(found[2]),
    held = shares(found[3], found[4], found[5], found[6]),
  }
end

-- Add amounts to fields of the state; `writes` are fields and values that are set along with them.
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

-- A claim begins somewhere in ARGV: id, quote, images, scopes, their quotes ('': the quote in each), cost, booked, entry.
local CLAIM = 8
local function claimed(first)
  return shares(ARGV[first + 2], ARGV[first + 1], ARGV[first + 3], ARGV[first + 4])
end

-- Write down an open hold, whose claim begins there.
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

-- End a hold: only its state is remembered, so that every verb can be repeated.
local function finish(id, state)
  local key = hold_key(id)
  redis.call('DEL', key)
  redis.call('HSET', key, 'state', state)
  redis.call('PEXPIRE', key, TOMBSTONE_MS)
  redis.call('ZREM', KEYS[2], id)
end

-- Put an entry on its way to the books, and count it. Its ticket.
local function book(amounts, entry, held_at, booked, cost)
  spend(amounts, held_at, lines(booked), cost)
  add(amounts, 'version', 1)
  return redis.call('XADD', KEYS[3], '*', 'entry', entry, 'held_at', whole(held_at), 'posted_at', whole(now))
end

-- The run id of this very server; it is another one after every restart and on every replica.
local function run_id()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

-- Is that the life of counters that were not lost since this server was started?
local function is_of_this_run(life)
  return life and string.match(life, '^%x+') == run_id()
end

local ASKS = {
  requests_per_minute = 'requests',
  images_per_minute = 'images',
  concurrent_images = 'images',
  usd_per_day = 'quote',
  usd_per_month = 'quote',
}

-- The limits that are spelled in ARGV from `first` on: scope, measure, most.
local function limits_from(first, count)
  local day, month = windows(now)
  local limits = {}
  for place = first, first + 3 * (count - 1), 3 do
    local scope, measure = ARGV[place], ARGV[place + 1]
    local limit = { scope = scope, measure = measure, asks = ASKS[measure], most = tonumber(ARGV[place + 2]), rate = false }
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

-- Read the value of every limit. Are the counters this server's own, and on which day were they last cleaned?
local function read(limits)
  local fields = { 'ready', 'today' }
  for place, limit in ipairs(limits) do
    fields[place + 2] = limit.field
  end
  local found = redis.call('HMGET', KEYS[1], unpack(fields))
  for place, limit in ipairs(limits) do
    if limit.rate then
      limit.minute = read_minute(found[place + 2])
      limit.value = limit.minute.used
    else
      limit.value = tonumber(found[place + 2]) or 0
    end
  end
  return found[1] == run_id(), found[2]
end

-- How much of a limit is used, and in how many microseconds all of a rate is there again. Money's windows end by the
-- calendar.
local function standing(limit)
  return limit.value, limit.rate and whole_in(limit.minute) or 0
end

-- Append to a reply how the limits stand.
local function with_standings(reply, limits)
  for _, limit in ipairs(limits) do
    local used, resets = standing(limit)
    reply[#reply + 1] = used
    reply[#reply + 1] = resets
  end
  return reply
end
