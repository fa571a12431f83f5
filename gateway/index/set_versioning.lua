-- uses: prelude bucket
local versioning = ARGV[1]

if not read_bucket('') then
  return { 'NoSuchBucket' }
elseif versioning ~= 'Enabled' and call('HEXISTS', BUCKET, 'config:object-lock') == 1 then
  return { 'VersioningRequired' }
end
local change = new_change('set_versioning')
touch(change, BUCKET)
effect(change, 'HSET', BUCKET, 'versioning', versioning)
return { 'OK', commit_change(change) }
