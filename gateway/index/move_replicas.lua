-- uses: prelude bucket
-- Change on which nodes the segments of one record lie, if the record is still the one that was read. Bytes, order and
-- counters stay. The copies that it no longer names are queued to be deleted; one whose deletion has begun cannot be
-- named again.
-- KEYS[8]: the parts of the upload, KEYS[9]: their revision, KEYS[10]: the layout key, KEYS[11]: the new one,
-- KEYS[12]: copies to be deleted, KEYS[13]: those whose deletion has begun.
-- ARGV: bucket id ('' for any), 'object' or 'part', member, its replacement (an object's record alone), layout, new
-- layout ('' for none), how long the old one is kept for readers (ms), key, upload id, part number, how many copies are
-- added, those, the copies that are removed.
local PARTS, REVISION, OLD_LAYOUT, NEW_LAYOUT, RELEASED, RELEASING = unpack(KEYS, 8, 13)
local bucket_id, kind, member, replacement, layout, new_layout, keep_ms = unpack(ARGV, 1, 7)
local key, upload_id, part_number = unpack(ARGV, 8, 10)
local last_added = 11 + tonumber(ARGV[11])

if not read_bucket(bucket_id) then
  return { 'NoSuchBucket' }
elseif kind == 'part' then
  if not find_upload(key, upload_id) or not call('ZSCORE', PARTS, member) then
    return { 'ObjectChanged' }
  end
elseif not call('ZSCORE', OBJECTS, member) or (layout ~= '' and call('GET', OLD_LAYOUT) ~= layout) then
  return { 'ObjectChanged' }
end
for at = 12, last_added do
  if call('ZSCORE', RELEASING, ARGV[at]) then
    return { 'CopyReleased' }
  end
end

local change = new_change('move_replicas')
if kind == 'part' then
  effect(change, 'ZREM', PARTS, member)
  effect(change, 'ZADD', PARTS, part_number, replacement)
  effect(change, 'SET', REVISION, whole(change.sequence)) -- whoever is completing the upload has read the old nodes
else
  local version = parse_version(member)
  if is_set(version, NULL_VERSION) then
    replacement = sub(replacement, 1, 1) .. char(byte(replacement, 2) + NULL_VERSION) .. sub(replacement, 3)
  end
  touch(change, subject_of(version.key))
  effect(change, 'ZREM', OBJECTS, member)
  effect(change, 'ZADD', OBJECTS, 0, version.key .. '\0' .. version.order .. replacement)
  if layout ~= '' then
    -- A layout never changes under its name, for gateways keep what they have read.
    effect(change, 'SET', NEW_LAYOUT, new_layout)
    effect(change, 'SET', OLD_LAYOUT, layout, 'PXAT', whole(now_ms() + tonumber(keep_ms)))
  end
end
for at = 12, last_added do
  effect(change, 'ZREM', RELEASED, ARGV[at])
end
for at = last_added + 1, #ARGV do
  effect(change, 'ZADD', RELEASED, whole(now_ms()), ARGV[at])
end
return { 'OK', commit_change(change) }
