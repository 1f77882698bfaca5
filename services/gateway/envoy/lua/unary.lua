-- A unary call about a model. The first two fields of every Model* request are the model's name and version.

local WINDOW = 512

local function refuse(handle, status, message, more)
  local headers = {
    [":status"] = "200", ["content-type"] = "application/grpc", ["grpc-status"] = status, ["grpc-message"] = message,
  }
  if more then headers[more] = "identity" end
  handle:respond(headers)
end

-- The order of the fields in the bytes is the sender's choice and the last one counts, so all top-level fields are
-- visited; their contents are not. `window` is what lies from `low` up to `high`. nil: not a message.
local function names(body, size, window, high)
  local model, version = "", ""
  local at, low = 5, 0
  while at < size do
    if at + 24 > high and high < size then
      low, high = at, size < at + WINDOW and size or at + WINDOW
      window = body:getBytes(low, high - low)
    end
    local i = at - low + 1
    local tag = byte(window, i)
    i = i + 1
    if tag > 127 then
      local more
      repeat
        more = byte(window, i)
        if not more then return nil end
        i = i + 1
      until more < 128
      -- The name of a field in more bytes than it needs: what is a name to the node must be one here.
      if more == 0 then return nil end
    end
    local wire = tag % 8
    if wire == 2 then
      local length, scale, b = 0, 1, nil
      repeat
        b = byte(window, i)
        if not b or scale > 34359738368 then return nil end
        length = length + (b % 128) * scale
        scale = scale * 128
        i = i + 1
      until b < 128
      local from = low + i - 1
      at = from + length
      if at > size then return nil end
      if tag == 10 or tag == 18 then
        local text = "?"
        if at <= high then text = sub(window, i, i + length - 1)
        elseif length < 129 then text = body:getBytes(from, length) end
        if tag == 10 then model = text else version = text end
      end
    elseif wire == 0 then
      local b
      repeat
        b = byte(window, i)
        if not b then return nil end
        i = i + 1
      until b < 128
      at = low + i - 1
    elseif wire == 5 then
      at = low + i + 3
    elseif wire == 1 then
      at = low + i + 7
    else
      return nil
    end
  end
  if at ~= size then return nil end
  return model, version
end

function envoy_on_request(handle)
  local body = handle:body()
  local size = body and body:length() or 0
  if size < 5 then
    return refuse(handle, "3", "the request holds no message")
  end
  local high = size < WINDOW and size or WINDOW
  local window = body:getBytes(0, high)
  local a, b, c, d, e = byte(window, 1, 5)
  if a ~= 0 then
    return refuse(
      handle, "12", "the gateway routes by what is in the message: send it uncompressed", "grpc-accept-encoding")
  end
  if ((b * 256 + c) * 256 + d) * 256 + e ~= size - 5 then
    return refuse(handle, "3", "a unary request holds exactly one message, of the length it announces")
  end
  local model, version = names(body, size, window, high)
  if not model then
    return refuse(handle, "3", "the message is not a protobuf message of the Open Inference Protocol")
  end
  if model == "" then
    return refuse(handle, "3", "the model's name must be set")
  end
  handle:headers():replace(MODEL, key(model, version))
end
