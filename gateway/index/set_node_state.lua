-- uses: prelude
-- KEYS[2]: states of nodes, by id. ARGV: node id, its state ('' for none).
local STATES = KEYS[2]
local node_id, state = ARGV[1], ARGV[2]

if (call('HGET', STATES, node_id) or '') == state then
  return { 'OK', 0 }
end
local change = new_change('set_node_state')
if state == '' then
  effect(change, 'HDEL', STATES, node_id)
else
  effect(change, 'HSET', STATES, node_id, state)
end
commit_change(change)
return { 'OK', 1 }
