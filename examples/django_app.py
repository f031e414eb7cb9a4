"""A Django site in one file, both ways: hostler django_app:asgi and hostler django_app:wsgi"""

import hashlib

from django.conf import settings

settings.configure(
    SECRET_KEY="an example keeps no secrets",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    FILE_UPLOAD_MAX_MEMORY_SIZE=2 * 1024 * 1024,
)

import django

django.setup()

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path


def home(request):
    return HttpResponse("<h1>Django on hostler</h1>")


def form(request):
    if request.method == "POST":
        return HttpResponse(f"hello {request.POST['name']}")
    return HttpResponse('<form method="post"><input name="name"></form>')


def upload(request):
    digest, size = hashlib.sha256(), 0
    for block in request.FILES["file"].chunks():
        digest.update(block)
        size += len(block)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


def stream(request):
    return StreamingHttpResponse((f"line {number}\n" for number in range(1000)), content_type="text/plain")


def cookie(request):
    visits = int(request.COOKIES.get("visits", 0))
    response = HttpResponse(f"visits: {visits}")
    response.set_cookie("visits", visits + 1)
    return response


def missing(request):
    raise Http404


def broken(request):
    raise RuntimeError("broken on purpose")


urlpatterns = [
    path("", home),
    path("form", form),
    path("upload", upload),
    path("stream", stream),
    path("cookie", cookie),
    path("old", lambda request: HttpResponseRedirect("/")),
    path("missing", missing),
    path("broken", broken),
]

asgi = ASGIHandler()
wsgi = WSGIHandler()
