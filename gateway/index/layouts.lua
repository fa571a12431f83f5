-- Layouts of objects whose record would be too large with them, for scripts that cannot name the key beforehand. It
-- lies in the slot of every other key of the partition.

-- The layout of an object's record, false where it has none of its own. `prefix` is what the names of layout keys begin with.
local function layout_of(prefix, record)
  if band(byte(record, 2), LAYOUT_KEY) == 0 then
    return false
  end
  local at = 20 + band(byte(record, 19), 127)
  local hex = (sub(record, at, at + 15)):gsub('.', function(letter)
    return format('%02x', byte(letter))
  end)
  return call('GET', prefix .. hex)
end
