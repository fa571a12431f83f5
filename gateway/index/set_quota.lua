-- uses: prelude bucket
-- ARGV: bytes, objects; '' is no limit.
if not read_bucket('') then
  return { 'NoSuchBucket' }
end
local change = new_change('set_quota')
touch(change, BUCKET)
for at, field in ipairs({ 'quota_bytes', 'quota_objects' }) do
  if ARGV[at] == '' then
    effect(change, 'HDEL', BUCKET, field)
  else
    effect(change, 'HSET', BUCKET, field, ARGV[at])
  end
end
return { 'OK', commit_change(change) }
