-- End a sent hold with its cost: counters are corrected, and its entry goes into the outbox.
-- KEYS: as in the prelude. ARGV: id, cost, scopes of the post (lines), entry, the entry's held_at (0: not known).
-- Reply: the hold's state now; if this call posted the entry, also its id in the outbox, held_at and now.

local id, cost, scopes, entry = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local hold, amounts, writes = find(id), {}, {}

-- Note a tier that is posted and was not held. The hold did not check its window, so later holds do.
local function mark_upgrade()
  local held = {}
  for _, scope in ipairs(hold.held.scopes) do
    held[scope] = true
  end
  for _, scope in ipairs(lines(scopes)) do
    if string.sub(scope, 1, 5) == 'tier:' and not held[scope] then
      local field = 'upgraded:' .. scope
      local last = math.max(tonumber(redis.call('HGET', KEYS[1], field) or 0), hold.held_at)
      writes[#writes + 1], writes[#writes + 2] = field, whole(last)
    end
  end
end

if hold.state and hold.state ~= 'sent' then
  return { hold.state }
end
local held_at = hold.held_at
if hold.open then
  give_back(amounts, hold)
  mark_upgrade()
else
  held_at = tonumber(ARGV[5])
  if held_at == 0 then
    held_at = now
  end
end
local outbox_id = post_entry(amounts, entry, held_at, scopes, cost)
shift(amounts, writes)
finish(id, 'posted')
return { 'posted', outbox_id, held_at, now }
