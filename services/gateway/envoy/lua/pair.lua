-- Copies the body of a sampled request, and of its answer, to where the log of pairs finds them. Pieces are copied as
-- they pass, nothing waits. "=..." is a body in base64, "?" one that is not shown: it is larger than LIMIT, or this
-- worker has shown PER_SECOND others in this second. Both are written in front.

local second, left = 0, 0

local function allowed()
  local now = os.time()
  if now ~= second then second, left = now, PER_SECOND end
  left = left - 1
  return left >= 0
end

local function copied(handle)
  local announced = tonumber(handle:headers():get("content-length") or "")
  if announced and announced > LIMIT then return "?" end
  local pieces, size = {}, 0
  for piece in handle:bodyChunks() do
    local length = piece:length()
    size = size + length
    if size > LIMIT then return "?" end
    pieces[#pieces + 1] = piece:getBytes(0, length)
  end
  return "=" .. handle:base64Escape(table.concat(pieces))
end

-- The metadata last: what a handle gave before a script waits may not be used after it.
function envoy_on_request(handle)
  local said = allowed() and copied(handle) or "?"
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("bmase.pair", "request", said)
  if said == "?" then metadata:set("bmase.pair.unshown", "request", true) end
end

function envoy_on_response(handle)
  if handle:streamInfo():dynamicMetadata():get("bmase.pair.unshown") then return end
  local said = copied(handle)
  handle:streamInfo():dynamicMetadata():set("bmase.pair", "response", said)
end
