"""A Django project in one file, for WSGI and ASGI."""

import time

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="test", DEBUG=False, LOGGING_CONFIG=None)
django.setup()


def item(request, number):
    return JsonResponse({"item": number})


def boom(request):
    raise RuntimeError("boom")


def stream(request):
    return StreamingHttpResponse((b"chunk %d\n" % i for i in range(3)), content_type="text/plain")


def hang(request, seconds):
    time.sleep(float(seconds))
    return HttpResponse("woke up")


urlpatterns = [
    path("item/<int:number>", item),
    path("boom", boom),
    path("stream", stream),
    path("hang/<str:seconds>", hang),
]
application = get_wsgi_application()
asgi = get_asgi_application()
