-- uses: prelude
-- Note how far a target of events has been told. KEYS[2]: the cursors. ARGV: name, number of the last change told of,
-- cursor. One that goes back is passed over: a worker that was paused may come late.
local CURSORS = KEYS[2]
local name, told, cursor = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local present = call('HGET', CURSORS, name)
if not present then
  return { 'NoSuchTarget' }
elseif tonumber(string.match(present, '^%d+')) >= told then
  return { 'OK', 0 }
end
local change = new_change('move_event_cursor')
effect(change, 'HSET', CURSORS, name, cursor)
return { 'OK', commit_change(change) }
