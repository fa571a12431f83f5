-- uses: prelude
-- KEYS[2]: what repair remembers. ARGV: field, value ('' removes it).
local STATE = KEYS[2]
local change = new_change('set_repair_state')
if ARGV[2] == '' then
  effect(change, 'HDEL', STATE, ARGV[1])
else
  effect(change, 'HSET', STATE, ARGV[1], ARGV[2])
end
commit_change(change)
return { 'OK' }
