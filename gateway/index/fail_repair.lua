#!lua flags=allow-oom
-- uses: prelude repair_queue
-- ARGV: name, when to try again (ms from now), 1 where this counts as a failed attempt (0: it was only too early),
-- class, copies left, what went wrong ('' keeps what went wrong before).
local name, delay_ms, counts = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local class, copies, failure = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]

local item = read_item(name)
if not item then
  return { 'OK', 0 }
end
local change = new_change('fail_repair')
if class ~= item.class then
  effect(change, 'ZREM', DUE[item.class], name)
end
item.class, item.copies, item.attempts, item.due = class, copies, item.attempts + counts, now_ms() + delay_ms
if failure ~= '' then
  item.failure = failure
end
write_item(change, name, item)
commit_change(change)
call('ZREM', TAKEN, name)
return { 'OK', 1 }
