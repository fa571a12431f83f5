-- uses:
-- Apply entries of the journal in order: those that this server has are passed over, a gap ends it.
-- KEYS: journal, sequence, restored (whose count stands in place of the sequence while an index is restored).
-- ARGV: token, the epoch that the recovery began with ('' for any), entries.
local JOURNAL, SEQUENCE, RESTORED = KEYS[1], KEYS[2], KEYS[3]
local token, old_epoch = ARGV[1], ARGV[2]

-- What comes late must not write into an index that another recovery restores, or has opened since.
local restored_by = redis.call('HGET', RESTORED, 'token')
if restored_by then
  if restored_by ~= token then
    return redis.error_reply('NOTOPEN another recovery came first')
  end
elseif redis.call('EXISTS', SEQUENCE) == 0 then
  return redis.error_reply('NOTOPEN this server was emptied meanwhile')
elseif old_epoch ~= '' and (redis.call('HGET', JOURNAL, 'epoch') or '0') ~= old_epoch then
  return redis.error_reply('NOTOPEN another recovery came first')
end

local sequence = tonumber(restored_by and redis.call('HGET', RESTORED, 'sequence') or redis.call('GET', SEQUENCE))
local gap = 0
for index = 3, #ARGV do
  local entry = cmsgpack.unpack(ARGV[index])
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
local reached = string.format('%.0f', sequence)
if restored_by then
  redis.call('HSET', RESTORED, 'sequence', reached)
else
  redis.call('SET', SEQUENCE, reached)
end
return { { gap, sequence }, 0 }
