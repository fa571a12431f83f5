-- uses: prelude bucket trash
-- The objects of a key that can come back, those trashed last first: member and time (ms) of each. ARGV: bucket name,
-- key, how many at most.
local bucket_name, key, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

observe(BUCKET)
observe(subject_of(key))
local bucket = read_bucket('')
if not bucket then
  return { 'NoSuchBucket' }
end
local found = {}
visit_trash(bucket, bucket_name, key, function(trashed)
  found[#found + 1] = trashed.member
  found[#found + 1] = trashed.trashed_ms
  return #found >= 2 * limit
end)
return { 'OK', found }
