-- uses: prelude
-- Declare a target of events, or take one away. KEYS[2]: the targets, KEYS[3]: how far each has been told.
-- ARGV: name, record ('' to take it away). A new target hears of what comes after.
local TARGETS, CURSORS = KEYS[2], KEYS[3]
local name, record = ARGV[1], ARGV[2]

local exists = call('HEXISTS', TARGETS, name) == 1
if record ~= '' and exists then
  return { 'TargetExists' }
elseif record == '' and not exists then
  return { 'NoSuchTarget' }
end
local change = new_change('set_event_target')
if record == '' then
  effect(change, 'HDEL', TARGETS, name)
  effect(change, 'HDEL', CURSORS, name)
else
  effect(change, 'HSET', TARGETS, name, record)
  effect(change, 'HSET', CURSORS, name, whole(change.sequence) .. ' ' .. whole(now_ms()) .. ' 0 0')
end
return { 'OK', commit_change(change) }
