#!lua flags=allow-oom
-- uses: prelude repair_queue
-- What waits after a failure is due at once: there is a node more. ARGV: how many in this change. Returns how many.
local limit = tonumber(ARGV[1])

local change, now, hurried = new_change('hurry_repairs'), now_ms(), 0
for class = 1, #DUE do
  for _, name in ipairs(call('ZRANGEBYSCORE', DUE[class], '(' .. whole(now), '+inf', 'LIMIT', 0, limit - hurried)) do
    local item = read_item(name)
    if item then
      item.due = now
      write_item(change, name, item)
      hurried = hurried + 1
    end
  end
end
if hurried > 0 then
  commit_change(change)
end
return { 'OK', hurried }
