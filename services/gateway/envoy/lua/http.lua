-- HTTP v2: the model and the version are in the path. LIMIT and TOO_LARGE are written in front of this.

local VERBS = {
  [""] = true, ["/infer"] = true, ["/ready"] = true, ["/config"] = true, ["/stats"] = true,
  ["/generate"] = true, ["/generate_stream"] = true,
}

function envoy_on_request(handle)
  local headers = handle:headers()
  local model, rest = match(headers:get(":path"), "^/v2/models/([^/?]+)([^?]*)")
  if not model then return headers:replace(MODEL, "?") end
  local version, verb = match(rest, "^/versions/([^/]+)(.*)$")
  verb = verb or rest
  if not VERBS[verb] then return headers:replace(MODEL, "?") end
  if verb == "/generate_stream" then headers:replace("x-envoy-upstream-rq-timeout-ms", "0") end
  local announced = tonumber(headers:get("content-length") or "")
  if announced and announced > LIMIT then
    return handle:respond({ [":status"] = "413", ["content-type"] = "application/json" }, TOO_LARGE)
  end
  -- Without an announced length the body is read whole, under the same limit, before anything goes out.
  if not announced and headers:get(":method") == "POST" then
    handle:body()
    headers = handle:headers()
  end
  headers:replace(MODEL, "/" .. key(model, version or ""))
end
