-- Stands before every script that changes something. KEYS[1] is the sequence number.
--
-- A script first decides, reading only, and collects what is to be written in a change; `commit_change` then writes
-- it. So a script that fails has written nothing, and one function sees every change of state whole, with its
-- number: resulting values and never deltas, fit to be repeated. Leases are no part of the state.
--
-- Lua's numbers are doubles: exact up to 2^53, printed through `whole`. Its string comparison follows the
-- locale: never use < on strings here.

local SEQUENCE = KEYS[1]

local call = redis.call
local byte, char, find, format, sub = string.byte, string.char, string.find, string.format, string.sub
local floor = math.floor

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
  return { kind = kind, sequence = tonumber(call('GET', SEQUENCE) or '0') + 1, effects = {} }
end

-- Add a command that writes a resulting value.
local function effect(change, ...)
  change.effects[#change.effects + 1] = { ... }
end

-- Every change of state passes here.
local function commit_change(change)
  call('SET', SEQUENCE, whole(change.sequence))
  for _, command in ipairs(change.effects) do
    call(unpack(command))
  end
  return change.sequence
end
