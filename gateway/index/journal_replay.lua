-- uses:
-- Apply entries of the journal in order: those that this server has are passed over, a gap ends it.
-- KEYS: sequence, restored (in place of the sequence while an index is restored). ARGV: entries.
local COUNTER = redis.call('EXISTS', KEYS[2]) == 1 and KEYS[2] or KEYS[1]
local sequence = tonumber(redis.call('GET', COUNTER) or 0)

local gap = 0
for _, packed in ipairs(ARGV) do
  local entry = cmsgpack.unpack(packed)
  local number, effects = entry[2], entry[5]
  if number > sequence + 1 then
    gap = 1
    break
  elseif number == sequence + 1 then
    for _, command in ipairs(effects) do
      redis.call(unpack(command))
    end
    sequence = number
  end
end
redis.call('SET', COUNTER, string.format('%.0f', sequence))
return { { gap, sequence }, 0 }
