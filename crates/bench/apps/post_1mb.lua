-- A POST of 1 MB.
wrk.method = "POST"
wrk.body = string.rep("y", 1048576)
wrk.headers["content-type"] = "application/octet-stream"
