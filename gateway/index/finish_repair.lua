#!lua flags=allow-oom
-- uses: prelude repair_queue
-- ARGV, two each: name, the revision that was handed out. What was reported again since is done once more.
local change = new_change('finish_repair')
local now, finished = now_ms(), 0
for at = 1, #ARGV, 2 do
  local name = ARGV[at]
  local item = read_item(name)
  if item and item.revision == tonumber(ARGV[at + 1]) then
    effect(change, 'HDEL', ITEMS, name)
    effect(change, 'ZREM', DUE[item.class], name)
    finished = finished + 1
  elseif item then
    item.attempts, item.due, item.failure = 0, now, ''
    write_item(change, name, item)
  end
end
if #change.effects > 0 then
  commit_change(change)
end
for at = 1, #ARGV, 2 do
  call('ZREM', TAKEN, ARGV[at])
end
return { 'OK', finished }
