"""A Flask site (WSGI): hostler flask_app:app --workers 2"""

import hashlib

from flask import Flask, Response, abort, redirect, request

app = Flask(__name__)


@app.get("/")
def home():
    return "<h1>Flask on hostler</h1>"


@app.route("/form", methods=["GET", "POST"])
def form():
    if request.method == "POST":
        return f"hello {request.form['name']}"
    return '<form method="post"><input name="name"></form>'


@app.post("/upload")
def upload():
    digest, size = hashlib.sha256(), 0
    while block := request.files["file"].stream.read(65536):
        digest.update(block)
        size += len(block)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/stream")
def stream():
    return Response((f"line {number}\n" for number in range(1000)), mimetype="text/plain")


@app.get("/cookie")
def cookie():
    response = Response(f"visits: {int(request.cookies.get('visits', 0))}")
    response.set_cookie("visits", str(int(request.cookies.get("visits", 0)) + 1))
    return response


@app.get("/old")
def old():
    return redirect("/")


@app.get("/missing")
def missing():
    abort(404)


@app.get("/broken")
def broken():
    raise RuntimeError("broken on purpose")
