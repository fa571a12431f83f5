-- Stands before every script that decides or reads on the state. KEYS[1] is the sequence number.
--
-- A script first decides, reading only, and collects what is to be written in a change; `commit_change` then writes
-- it. So a script that fails has written nothing, and one function sees every change of state whole, with its
-- number: resulting values and never deltas, fit to be repeated. Leases are no part of the state.
--
-- Each change leaves an entry in the journal's stream in the same step, and its subjects in `pending` until the entry
-- is durable on the journal's nodes: whoever reads one of them meanwhile waits for that (epilogue.lua).
--
-- Lua's numbers are doubles: exact up to 2^53, printed through `whole`. Its string comparison follows the
-- locale: never use < on strings here.

local call = redis.call
local byte, char, find, format, sub = string.byte, string.char, string.find, string.format, string.sub
local floor = math.floor

local SEQUENCE = KEYS[1]
-- They lie beside the sequence number, in its slot; every script has them, so no caller names them.
local BESIDE = sub(SEQUENCE, 1, -1 - #'sequence')
local STREAM, PENDING = BESIDE .. 'journal-stream', BESIDE .. 'pending'

local ENTRY_FORMAT = 1

-- Why the script runs (cause.py), '' for nobody's wish: stands behind all other arguments, of which it is none.
local CAUSE = table.remove(ARGV)

-- nil where this server is empty: wiped, or one on which the index was never opened.
local sequence = tonumber(call('GET', SEQUENCE) or nil)
-- The number of the last change of this script, and of the last undurable one that it has looked at.
local committed, observed = nil, nil

local function whole(number)
  return format('%.0f', number)
end

local function now_ms()
  local time = call('TIME')
  return tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)
end

-- The least string greater than every string that begins with `prefix`; nil where there is none.
local function successor(prefix)
  for last = #prefix, 1, -1 do
    local code = byte(prefix, last)
    if code < 255 then
      return sub(prefix, 1, last - 1) .. char(code + 1)
    end
  end
  return nil
end

local function new_change(kind)
  return { kind = kind, sequence = sequence + 1, effects = {}, subjects = {} }
end

-- Add a command that writes a resulting value.
local function effect(change, ...)
  change.effects[#change.effects + 1] = { ... }
end

-- Name what the change is about, for readers that name what they read.
local function touch(change, subject)
  change.subjects[#change.subjects + 1] = subject
end

-- A script that reads one subject need not wait for changes of others; one that names none waits for all.
local function observe(subject)
  observed = math.max(observed or 0, tonumber(call('ZSCORE', PENDING, subject) or 0))
end

-- Every change of state passes here.
local function commit_change(change)
  sequence, committed = change.sequence, change.sequence
  local number = whole(sequence)
  call('SET', SEQUENCE, number)
  for _, command in ipairs(change.effects) do
    call(unpack(command))
  end
  -- Replay looks at no more than the effects; what is appended to an entry tells readers of the journal more.
  local entry = cmsgpack.pack({ ENTRY_FORMAT, sequence, now_ms(), change.kind, change.effects, CAUSE })
  call('XADD', STREAM, number .. '-0', 'e', entry)
  call('ZADD', PENDING, number, '')
  for _, subject in ipairs(change.subjects) do
    call('ZADD', PENDING, number, subject)
  end
  return sequence
end
