-- A POST of 2 KB.
wrk.method = "POST"
wrk.body = string.rep("y", 2048)
wrk.headers["content-type"] = "application/octet-stream"
