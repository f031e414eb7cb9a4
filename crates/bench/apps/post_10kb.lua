-- A POST of 10 KB.
wrk.method = "POST"
wrk.body = string.rep("y", 10240)
wrk.headers["content-type"] = "application/octet-stream"
