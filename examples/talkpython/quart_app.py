"""A Quart site (ASGI): hostler talkpython.quart_app:app --workers 3"""

import hashlib

from quart import Quart, Response, abort, redirect, request

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = 64 * 1024 * 1024


@app.get("/")
async def home():
    return "<h1>Quart on hostler</h1>"


@app.route("/form", methods=["GET", "POST"])
async def form():
    if request.method == "POST":
        return f"hello {(await request.form)['name']}"
    return '<form method="post"><input name="name"></form>'


@app.post("/upload")
async def upload():
    digest, size = hashlib.sha256(), 0
    stream = (await request.files)["file"].stream
    while block := stream.read(65536):
        digest.update(block)
        size += len(block)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/stream")
async def stream():
    async def lines():
        for number in range(1000):
            yield f"line {number}\n".encode()

    return Response(lines(), mimetype="text/plain")


@app.get("/cookie")
async def cookie():
    visits = int(request.cookies.get("visits", 0))
    response = Response(f"visits: {visits}")
    response.set_cookie("visits", str(visits + 1))
    return response


@app.get("/old")
async def old():
    return redirect("/")


@app.get("/missing")
async def missing():
    abort(404)


@app.get("/broken")
async def broken():
    raise RuntimeError("broken on purpose")
