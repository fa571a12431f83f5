#!lua flags=allow-oom
-- uses: prelude bucket
-- ARGV: bucket name, bucket id, record of a delete marker, then for each deletion: key, version selector, If-Match,
-- last modified (s), size, bypass of GOVERNANCE; '' for what is not asked. Each deletion is a change of its own.
local bucket_name, bucket_id, marker_record = unpack(ARGV, 1, 3)

local function refuse_deletion(version, if_match, modified_s, size)
  if if_match == '' and modified_s == '' and size == '' then
    return nil
  end
  local refusal = refuse_write(version, if_match == '' and '*' or if_match, '')
  if refusal then
    return refusal
  elseif modified_s ~= '' and floor(version.modified_ms / 1000) ~= tonumber(modified_s) then
    return { 'ConditionFailed', 'x-amz-if-match-last-modified-time' }
  elseif size ~= '' and version.size ~= tonumber(size) then
    return { 'ConditionFailed', 'x-amz-if-match-size' }
  end
  return nil
end

local function outcome(name, marker, existed, sequence)
  return { 'OK', name, marker and 1 or 0, existed and 1 or 0, sequence }
end

-- Remove exactly this version.
local function delete_version(bucket, version)
  local change = new_change('delete_version')
  remove_version(change, bucket_name, bucket, version)
  write_counters(change, bucket)
  return outcome(version_name(bucket, version), is_set(version, DELETE_MARKER), true, commit_change(change))
end

-- Put a marker over what is there.
local function add_marker(bucket, key, current)
  local change = new_change('add_delete_marker')
  local marker = add_version(change, bucket_name, bucket, key, marker_record)
  local existed = current and not is_set(current, DELETE_MARKER)
  return outcome(version_name(bucket, marker), true, existed, commit_change(change))
end

local function delete(bucket, key, selector, if_match, modified_s, size, bypass)
  local version = find_version(bucket, key, selector)
  local refusal = refuse_deletion(version, if_match, modified_s, size)
  if refusal then
    return refusal
  elseif selector == '' and bucket.versioning ~= '' then
    return add_marker(bucket, key, version)
  elseif version and is_protected(version, bypass == '1') then
    return { 'ObjectLocked' }
  elseif version then
    return delete_version(bucket, version)
  end
  return outcome('', false, false, 0)
end

local bucket = read_bucket(bucket_id)
if not bucket then
  return { 'NoSuchBucket' }
end
local outcomes = { 'OK' }
for at = 4, #ARGV, 6 do
  outcomes[#outcomes + 1] = delete(bucket, ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
end
return outcomes
