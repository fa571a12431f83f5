-- What the scripts on the repair queue share. How an item looks is told in repair_records.py.
-- KEYS[2]: items, KEYS[3]: items handed out, by the time (ms) the lease ends; no part of the state.
-- KEYS[4] to KEYS[7]: the queues by class, an item's name by the time (ms) of its next attempt.
local ITEMS, TAKEN = KEYS[2], KEYS[3]
local DUE = { KEYS[4], KEYS[5], KEYS[6], KEYS[7] }

local ITEM_FORMAT, HEADER = 1, '>BBBI2I4I4I8I8I8I4'

local function read_item(name)
  local value = call('HGET', ITEMS, name)
  if not value then
    return nil
  end
  local format_number, class, copies, reasons, attempts, revision, queued, due, size, origin_size, at =
    struct.unpack(HEADER, value)
  return {
    class = class, copies = copies, reasons = reasons, attempts = attempts, revision = revision,
    queued = queued, due = due, size = size,
    origin = sub(value, at, at + origin_size - 1),
    failure = sub(value, at + origin_size),
  }
end

local function write_item(change, name, item)
  local header = struct.pack(HEADER, ITEM_FORMAT, item.class, item.copies, item.reasons, item.attempts,
    item.revision, item.queued, item.due, item.size, #item.origin)
  effect(change, 'HSET', ITEMS, name, header .. item.origin .. item.failure)
  effect(change, 'ZADD', DUE[item.class], whole(item.due), name)
end
