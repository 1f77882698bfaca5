-- A stream of requests to a model: its first message was read by Envoy's own filter, which can do so without the rest.

function envoy_on_request(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  local fields = metadata:get("envoy.filters.http.grpc_field_extraction") or {}
  local model, version = fields["model_name"], fields["model_version"]
  local headers = handle:headers()
  headers:replace(MODEL, key(model and model[1] or "", version and version[1] or ""))
  headers:replace("x-envoy-upstream-rq-timeout-ms", "0")
end
