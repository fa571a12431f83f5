-- uses: prelude bucket
-- Skip-scan: one entry for each key, or version, or upload, or common prefix; what lies under a common prefix is
-- jumped over. One call does a bounded amount of work and returns where to go on ('' at the end).
-- ARGV: what ('objects', 'versions' or 'uploads'), prefix, delimiter, lower bound (inclusive), upper bound (exclusive; '' for
-- none), how many entries are wanted (one at least), how much work is allowed.
local what, prefix, delimiter, cursor, upper = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local wanted, work_left = tonumber(ARGV[6]), tonumber(ARGV[7])

-- What a ZRANGEBYLEX costs beside reading a member, in members; measured, roughly.
local CALL_COST = 4
local FIRST_BATCH, GREATEST_BATCH = 4, 256

if not read_bucket('') then
  return { 'NoSuchBucket' }
end

local of_objects = what == 'objects'
local set = what == 'uploads' and UPLOADS or OBJECTS
local maximum = upper == '' and '+' or '(' .. upper
local entries, groups, found = {}, {}, 0
local batch_size = delimiter == '' and math.min(GREATEST_BATCH, wanted) or FIRST_BATCH

-- The part of the key that rolls it up, where it has the delimiter behind the prefix.
local function group_of(key)
  if delimiter == '' then
    return nil
  end
  local _, last = find(key, delimiter, #prefix + 1, true)
  return last and sub(key, 1, last)
end

-- The least member that cannot belong to the same entry any more.
local function after_entry(member, key)
  return of_objects and key .. '\1' or member .. '\0'
end

-- Read one batch from the cursor on, and move the cursor behind what was dealt with.
-- Returns how many members there were, and how many distinct keys or groups they belonged to.
local function scan_batch(size)
  local members = call('ZRANGEBYLEX', set, '[' .. cursor, maximum, 'LIMIT', 0, size)
  local last_key, group, distinct = nil, nil, 0
  for _, member in ipairs(members) do
    local nul = find(member, '\0', 1, true)
    local key = sub(member, 1, nul - 1)
    local in_group = group and sub(key, 1, #group) == group
    local older_version = of_objects and key == last_key
    if not in_group and not older_version then
      if found == wanted then
        break
      end
      last_key, distinct = key, distinct + 1
      local marker = of_objects and band(byte(member, nul + 10), DELETE_MARKER) ~= 0
      group = not marker and group_of(key) or nil
      if group then
        groups[#groups + 1] = group
        cursor = successor(group)
      else
        cursor = after_entry(member, key)
        if not marker then
          entries[#entries + 1] = member
        end
      end
      if not marker then
        found = found + 1
      end
    end
  end
  return #members, distinct
end

while true do
  local count, distinct = scan_batch(batch_size)
  work_left = work_left - count - CALL_COST
  if count < batch_size and found < wanted then
    return { 'OK', '', entries, groups }
  elseif found == wanted or work_left <= 0 then
    return { 'OK', cursor, entries, groups }
  end
  -- Where groups (or keys with versions) are large, the rest of a batch is read for nothing: small batches then.
  batch_size = math.min(GREATEST_BATCH, 2 * distinct)
end
