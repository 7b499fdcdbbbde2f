"""The plain application under the standard library's server: `serve_wsgiref.py PORT`."""

import sys
from wsgiref.simple_server import make_server

from plain_app import application

make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
