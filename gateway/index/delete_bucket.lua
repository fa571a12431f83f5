#!lua flags=allow-oom
-- uses: prelude bucket
-- Aborts the bucket's uploads, each as a change of its own and not more than ARGV[2] in one call; 'More' asks to be
-- called again. KEYS[8]: all buckets, KEYS[9]: buckets by owner.
local BUCKETS, OWNED = KEYS[8], KEYS[9]
local name, most_uploads = ARGV[1], tonumber(ARGV[2])

local bucket = read_bucket('')
if not bucket then
  return { 'NoSuchBucket' }
end
if call('EXISTS', OBJECTS) == 1 then
  return { 'BucketNotEmpty' }
end
for _, member in ipairs(call('ZRANGE', UPLOADS, 0, most_uploads - 1)) do
  abort_upload(name, member)
end
if call('EXISTS', UPLOADS) == 1 then
  return { 'More' }
end

local change = new_change('delete_bucket')
touch(change, BUCKET)
effect(change, 'DEL', BUCKET)
effect(change, 'ZREM', BUCKETS, name)
effect(change, 'ZREM', OWNED, bucket.owner .. '\0' .. name)
return { 'OK', commit_change(change) }
