"""Where the probe goes into servers: in front of the application that a server is about to call.

A server's hook is better than a framework's: it sees every request of every application, routed or not.
"""

from __future__ import annotations

import functools
import sys
from types import FunctionType

from . import entries, wsgi

_WSGI_WORKERS = frozenset("gunicorn.workers." + name for name in ("sync", "gthread", "base_async", "ggevent", "geventlet"))


def wrapped_wsgi(app):
    """`app` with the probe in front; an exporter of metrics is no application and stays as it is."""
    if wsgi.is_foreign(app):
        return app
    entries.close()
    return wsgi.wrap(app)


def wrapped_asgi(app):
    """`app` with the probe in front."""
    from . import asgi

    if wsgi.is_foreign(app):
        return app
    entries.close()
    return asgi.wrap(app)


def gunicorn(module) -> None:
    """sync, gthread, gevent and eventlet workers call `self.wsgi`; uvicorn's worker has it served by uvicorn."""
    original = module.Worker.load_wsgi

    @functools.wraps(original)
    def load_wsgi(self):
        original(self)
        if _WSGI_WORKERS.intersection(kind.__module__ for kind in type(self).__mro__):
            self.wsgi = wrapped_wsgi(self.wsgi)

    module.Worker.load_wsgi = load_wsgi


def gunicorn_asgi(module) -> None:
    """gunicorn's own ASGI worker."""
    original = module.ASGIWorker.load_wsgi

    @functools.wraps(original)
    def load_wsgi(self):
        original(self)
        self.asgi = wrapped_asgi(self.asgi)

    module.ASGIWorker.load_wsgi = load_wsgi


def uvicorn(module) -> None:
    """All of uvicorn's protocols call `config.loaded_app`, which is an ASGI 3 application once loaded."""
    original = module.Config.load

    @functools.wraps(original)
    def load(self):
        original(self)
        self.loaded_app = wrapped_asgi(self.loaded_app)

    module.Config.load = load


def uwsgi_target():
    """(module, name in it) of the application that uWSGI was told to serve (`--module feed:app`); ("", "") by other means."""
    option = sys.modules["uwsgi"].opt.get("module", b"")
    if not isinstance(option, bytes):
        return "", ""
    module, _, name = option.decode("utf-8", "replace").partition(":")
    return module, name.rstrip("()") or "application"


def uwsgi(module) -> None:
    """uWSGI calls the application from C: what it is going to find in its module is replaced, or its class is entered.

    Frameworks with an entry of their own need nothing, and stay the objects that they are.
    """
    name = uwsgi_target()[1]
    app = getattr(module, name, None)
    if type(app) is FunctionType:
        setattr(module, name, functools.wraps(app)(wsgi.wrap(app)))
    elif isinstance(type(app).__call__, FunctionType) and type(app).__call__.__name__ != "entry":
        entries.wsgi_entry(type(app))


def werkzeug(module) -> None:
    """The development server (`flask run`)."""
    original = module.BaseWSGIServer.__init__

    @functools.wraps(original)
    def init(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.app = wrapped_wsgi(self.app)

    module.BaseWSGIServer.__init__ = init


def waitress(module) -> None:
    """waitress keeps the application on its server."""
    original = module.BaseWSGIServer.__init__

    @functools.wraps(original)
    def init(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.application = wrapped_wsgi(self.application)

    module.BaseWSGIServer.__init__ = init


def wsgiref(module) -> None:
    """wsgiref, and with it Django's runserver."""
    original = module.BaseHandler.run

    @functools.wraps(original)
    def run(self, application):
        return original(self, wrapped_wsgi(application))

    module.BaseHandler.run = run
