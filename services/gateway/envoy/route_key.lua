-- Names, in the header x-bmase-model, the entry of the route table that a request belongs to:
--   model, model/3            gRPC, without and with an explicit version
--   /model, /model/3          HTTP v2
--   ?                         no name that a model can have
-- Requests that are not for a model lose the header, so a client can never set it.

local byte, find, match, sub = string.byte, string.find, string.match, string.sub

local MODEL = "x-bmase-model"
local EXTRACTED = "envoy.filters.http.grpc_field_extraction"
local SERVICE = "/inference.GRPCInferenceService/"
local STREAM = SERVICE .. "ModelStreamInfer"
local INDEX = SERVICE .. "RepositoryIndex"
local WINDOW = 512
local MAX_NAME = 63

local UNARY = {
  [SERVICE .. "ModelInfer"] = true,
  [SERVICE .. "ModelReady"] = true,
  [SERVICE .. "ModelMetadata"] = true,
  [SERVICE .. "ModelConfig"] = true,
  [SERVICE .. "ModelStatistics"] = true,
}

local HTTP_VERBS = {
  [""] = true, ["/infer"] = true, ["/ready"] = true, ["/config"] = true, ["/stats"] = true,
  ["/generate"] = true, ["/generate_stream"] = true,
}

local function key(model, version)
  if #model > MAX_NAME or not find(model, "^[a-z0-9][a-z0-9._-]*$") then return "?" end
  if version == "" then return model end
  if #version > 10 or not find(version, "^[1-9]%d*$") then return model .. "/?" end
  return model .. "/" .. version
end

local function refuse(handle, status, message, more)
  local headers = {
    [":status"] = "200", ["content-type"] = "application/grpc", ["grpc-status"] = status, ["grpc-message"] = message,
  }
  if more then headers[more] = "identity" end
  handle:respond(headers)
end

-- Fields 1 and 2 of the message, which every Model* request has for the model's name and version. Their order in the
-- bytes is the sender's choice and the last one counts, so all top-level fields are visited; their contents are not.
-- nil: not a message.
local function names(body, size)
  local model, version = "", ""
  local at, low, high, window = 5, 0, 0, ""
  while at < size do
    if at + 24 > high and high < size then
      low, high = at, size < at + WINDOW and size or at + WINDOW
      window = body:getBytes(low, high - low)
    end
    local i = at - low + 1
    local tag = byte(window, i)
    i = i + 1
    if tag > 127 then
      local more = byte(window, i)
      i = i + 1
      while more and more > 127 do more = byte(window, i) i = i + 1 end
      if not more then return nil end
    end
    local wire = tag % 8
    if wire == 2 then
      local length, scale = 0, 1
      repeat
        local b = byte(window, i)
        if not b or scale > 34359738368 then return nil end
        length = length + (b % 128) * scale
        scale = scale * 128
        i = i + 1
      until b < 128
      local from = low + i - 1
      at = from + length
      if at > size then return nil end
      if tag == 10 or tag == 18 then
        local text = length > 128 and "?" or at <= high and sub(window, i, i + length - 1) or body:getBytes(from, length)
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

local function unary(handle)
  local body = handle:body()
  local size = body and body:length() or 0
  if size < 5 then
    return refuse(handle, "3", "the request holds no message")
  end
  local a, b, c, d, e = byte(body:getBytes(0, 5), 1, 5)
  if a ~= 0 then
    return refuse(handle, "12", "the gateway routes by what is in the message: send it uncompressed", "grpc-accept-encoding")
  end
  if ((b * 256 + c) * 256 + d) * 256 + e ~= size - 5 then
    return refuse(handle, "3", "a unary request holds exactly one message, of the length it announces")
  end
  local model, version = names(body, size)
  if not model then
    return refuse(handle, "3", "the message is not a protobuf message of the Open Inference Protocol")
  end
  if model == "" then
    return refuse(handle, "3", "the model's name must be set")
  end
  handle:headers():replace(MODEL, key(model, version))
end

local function stream(handle, headers)
  local fields = handle:streamInfo():dynamicMetadata():get(EXTRACTED) or {}
  local model, version = fields["model_name"], fields["model_version"]
  headers:replace(MODEL, key(model and model[1] or "", version and version[1] or ""))
  headers:replace("x-envoy-upstream-rq-timeout-ms", "0")
end

local function http(handle, headers, path)
  local model, rest = match(path, "^/v2/models/([^/?]+)([^?]*)")
  local version, verb = match(rest, "^/versions/([^/]+)(.*)$")
  if not HTTP_VERBS[verb or rest] then
    headers:replace(MODEL, "?")
    return
  end
  if (verb or rest) == "/generate_stream" then headers:replace("x-envoy-upstream-rq-timeout-ms", "0") end
  local announced = headers:get("content-length")
  if announced and tonumber(announced) and tonumber(announced) > LIMIT then
    return handle:respond({ [":status"] = "413", ["content-type"] = "application/json" }, TOO_LARGE)
  end
  -- Without an announced length the body is read whole, under the same limit, before anything goes out.
  if not announced and headers:get(":method") == "POST" then
    handle:body()
    headers = handle:headers()
  end
  headers:replace(MODEL, "/" .. key(model, version or ""))
end

-- The index has a variant with only what is ready. In gRPC that flag is a field of its own, the last one.
local function index(handle, flag)
  local body = handle:body()
  local size = body and body:length() or 0
  local text = size > 0 and body:getBytes(0, size < 4096 and size or 4096) or ""
  local headers = handle:headers()
  headers:remove(MODEL)
  headers:replace("x-bmase-index", find(text, flag) and "ready" or "all")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path") or ""
  if UNARY[path] then return unary(handle) end
  if path == STREAM then return stream(handle, headers) end
  if path == INDEX then return index(handle, "\16\1$") end
  if path == "/v2/repository/index" then return index(handle, '"ready"%s*:%s*true') end
  if sub(path, 1, 11) == "/v2/models/" and find(path, "^/v2/models/[^/?]") then return http(handle, headers, path) end
  headers:remove(MODEL)
end
