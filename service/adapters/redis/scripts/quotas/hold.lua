-- Hold all claims, as one request, or none.
-- KEYS: as in the prelude. ARGV: state, lease in microseconds, number of limits, scope + measure + most of each, then the
-- claims: id, quote, images, scopes (lines), quotes (lines), cost, booked scopes (lines), entry.
-- Reply: 'lost' | 'over' (a hold of that id has ended) | 'full', now, place of the limit, asked, used, resets, wait (-1: no
-- end known) | 'held', now, held_at, then used + resets of every limit. Times are microseconds. Of several limits without
-- room the reply names the one that stays without room longest.

local FIRST_LIMIT = 4
local state, lease, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local first_claim = FIRST_LIMIT + 3 * count

-- What is asked of every scope.
local function sum_up()
  local asked = {}
  for claim = first_claim, #ARGV, CLAIM do
    local held = claimed(claim)
    for place, scope in ipairs(held.scopes) do
      local sums = asked[scope] or { requests = 1, images = 0, quote = 0 }
      sums.quote = sums.quote + tonumber(held.quotes[place])
      sums.images = sums.images + held.images
      asked[scope] = sums
    end
  end
  return asked
end

-- Nothing if a limit has room for an amount, else the wait for it (-1: no end known) and how long the lack of room lasts,
-- as a number to compare: for ever, until a month or a day ends, a wait, until another hold ends.
local LASTS = { usd_per_month = 2e18, usd_per_day = 1e18, concurrent_images = 0 }

-- Was something posted in the limit's window that had been held in another tier?
local function is_upgraded(limit)
  local at = redis.call('HGET', KEYS[1], 'upgraded:' .. limit.scope)
  if not at or limit.asks ~= 'quote' then
    return false
  end
  local day, month = windows(tonumber(at))
  return limit.field == day .. limit.scope or limit.field == month .. limit.scope
end

local function wait_for(limit, sums)
  if not sums then -- nothing is asked in its scope; but a vendor that upgrades what was asked for took all of it
    return limit.value > limit.most and is_upgraded(limit) and -1 or nil, LASTS[limit.measure]
  end
  local amount = sums[limit.asks]
  if limit.rate then
    local wait = wait_for_room(limit.minute, amount, limit.most)
    return wait, wait == -1 and math.huge or wait
  end
  if limit.value + amount > limit.most then
    return -1, amount > limit.most and math.huge or LASTS[limit.measure]
  end
end

-- The fields of rates as they are to be, or nothing and the refusal.
local function take_all(limits, asked)
  local writes, refusal, longest = {}, nil, -1
  for place, limit in ipairs(limits) do
    local sums = asked[limit.scope]
    local amount = sums and sums[limit.asks] or 0
    local wait, lasts = wait_for(limit, sums)
    if wait and lasts > longest then
      local used, resets = standing(limit)
      refusal, longest = { 'full', now, place - 1, amount, used, resets, wait }, lasts
    elseif not refusal and limit.rate and amount > 0 then
      limit.value = limit.value + amount
      add_to_minute(limit.minute, amount)
      writes[#writes + 1] = limit.field
      writes[#writes + 1] = pack_minute(limit.minute)
    elseif not refusal and not limit.rate then
      limit.value = limit.value + amount
    end
  end
  return not refusal and writes, refusal
end

-- When the holds were made, if they are there already; whether any has ended or only some of them are there.
local function found_again()
  local held_at, there, claims, over = nil, 0, 0, false
  for claim = first_claim, #ARGV, CLAIM do
    claims = claims + 1
    local hold = find(ARGV[claim])
    if hold.state then
      there = there + 1
      over = over or not hold.open
      held_at = held_at or hold.held_at
    end
  end
  return held_at, over or (there > 0 and there < claims)
end

-- Does a field say nothing any more? The first version wrote `rate:`, the time when a rate is whole again.
local function is_idle(field, value)
  local kind = string.match(field, '^%w+:')
  if kind == 'rate2:' then
    return read_minute(value).used == 0
  end
  if kind == 'upgraded:' then
    return tonumber(value) < now - 62 * DAY
  end
  return (kind == 'rate:' and tonumber(value) < now) or (kind == 'open:' and tonumber(value) == 0)
end

-- Once a day: drop the fields of windows that are over and idle ones. Days of late posts are kept a while.
local function clean(today)
  local oldest_day = today - 2
  local oldest_month = string.format('%04d%02d', civil(today - 31))
  local old = {}
  local fields = redis.call('HGETALL', KEYS[1])
  for place = 1, #fields, 2 do
    local field = fields[place]
    local day, month = string.match(field, '^day:(%d+):'), string.match(field, '^month:(%d+):')
    if (day and tonumber(day) < oldest_day) or (month and month < oldest_month) or is_idle(field, fields[place + 1]) then
      old[#old + 1] = field
    end
  end
  in_chunks('HDEL', KEYS[1], old)
end

local limits = limits_from(FIRST_LIMIT, count)
local ready, cleaned = read(limits)
if not ready then
  return { 'lost' }
end
local held_at, over = found_again()
if over then
  return { 'over' }
end
if held_at then
  return with_standings({ 'held', now, held_at }, limits)
end
local writes, refusal = take_all(limits, sum_up())
if not writes then
  return refusal
end
local today = math.floor(now / DAY)
if cleaned ~= whole(today) then
  clean(today)
  writes[#writes + 1] = 'today'
  writes[#writes + 1] = whole(today)
end
local amounts = {}
for claim = first_claim, #ARGV, CLAIM do
  set_aside(amounts, now, claimed(claim), 1)
  put(claim, state, now, now + lease)
end
shift(amounts, writes)
return with_standings({ 'held', now, now }, limits)
