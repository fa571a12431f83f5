-- uses: prelude repair_queue
-- Many reports in one change. ARGV, seven each: name, class, copies left, reasons, size, delay (ms), origin.
-- A report on what is queued already adds its reasons and may make it more urgent; how long an item that failed is left
-- alone stays its own matter. One that says nothing new is not written.
local change = new_change('queue_repairs')
local now, added = now_ms(), 0

local function report(name, class, copies, reasons, size, delay_ms, origin)
  local item = read_item(name)
  if not item then
    added = added + 1
    write_item(change, name, {
      class = class, copies = copies, reasons = reasons, attempts = 0, revision = 0,
      queued = now, due = now + delay_ms, size = size, origin = origin, failure = '',
    })
    return
  end
  local all_reasons = bit.bor(item.reasons, reasons)
  local taken = tonumber(call('ZSCORE', TAKEN, name) or 0) > now
  if all_reasons == item.reasons and class >= item.class and not taken then
    return
  end
  if class < item.class then
    effect(change, 'ZREM', DUE[item.class], name)
    item.class, item.due = class, math.min(item.due, now)
  end
  item.copies, item.reasons, item.revision = copies, all_reasons, item.revision + 1
  write_item(change, name, item)
end

for at = 1, #ARGV, 7 do
  report(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]),
    tonumber(ARGV[at + 5]), ARGV[at + 6])
end
if #change.effects > 0 then
  commit_change(change)
end
return { 'OK', added }
