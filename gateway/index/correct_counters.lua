#!lua flags=allow-oom
-- uses: prelude bucket
-- Take what a bucket counts too much off its counters. The error does not depend on what changed since it was found.
-- ARGV: bucket id, objects too many, bytes too many; either may be negative.
local bucket_id, objects, bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local bucket = read_bucket(bucket_id)
if not bucket then
  return { 'NoSuchBucket' }
end
bucket.objects, bucket.bytes = bucket.objects - objects, bucket.bytes - bytes
local change = new_change('correct_counters')
write_counters(change, bucket)
return { 'OK', commit_change(change) }
