-- uses: prelude bucket
-- One version of an object. ARGV: key, version selector, the fields of the bucket to return.
local key, selector = ARGV[1], ARGV[2]

observe(BUCKET)
observe(subject_of(key))
local bucket = read_bucket('')
if not bucket then
  return { 'NoSuchBucket' }
end
local version = find_version(bucket, key, selector)
return { 'OK', call('HMGET', BUCKET, unpack(ARGV, 3)), version and version.member or false }
