"""The frameworks' own hello routes."""

from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

fastapi = FastAPI()
flask = Flask(__name__)


@fastapi.get("/")
async def fastapi_json():
    return {"hello": "world", "items": [1, 2, 3]}


@flask.get("/")
def flask_text():
    return "Hello, world!"


async def starlette_text(request):
    return PlainTextResponse("Hello, world!")


starlette = Starlette(routes=[Route("/", starlette_text)])
