-- Extend the leader's lease. A call of any other owner does nothing.
-- KEYS, ARGV: as in the prelude. Reply: 1 if the owner leads, else 0.

if not led() then
  return 0
end
extend_lease(flight.state)
return 1
