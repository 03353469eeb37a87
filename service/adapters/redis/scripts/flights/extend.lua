-- The leader is alive; from anybody else it means nothing.
-- KEYS, ARGV: as in the prelude. Reply: 1 if it leads, else 0.

if not led() then
  return 0
end
show_life(flight.state)
return 1
