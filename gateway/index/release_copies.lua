-- uses: prelude bucket
-- Queue copies to be deleted that a record, as it was read, does not name, if it is still as it was read.
-- KEYS[8]: the parts of the upload, KEYS[9]: copies to be deleted, KEYS[10]: those whose deletion has begun.
-- ARGV: what holds the record ('object', 'part', 'aborted' or 'trash'), member, the copies.
local PARTS, RELEASED, RELEASING = KEYS[8], KEYS[9], KEYS[10]
local sets = { object = OBJECTS, part = PARTS, aborted = PARTS, trash = TRASH }

if not call('ZSCORE', sets[ARGV[1]], ARGV[2]) then
  return { 'ObjectChanged' }
end
local change, released = new_change('release_copies'), 0
for at = 3, #ARGV do
  if not call('ZSCORE', RELEASED, ARGV[at]) and not call('ZSCORE', RELEASING, ARGV[at]) then
    effect(change, 'ZADD', RELEASED, whole(now_ms()), ARGV[at])
    released = released + 1
  end
end
if released > 0 then
  commit_change(change)
end
return { 'OK', released }
