"""The plain application under waitress: `serve_waitress.py PORT`."""

import sys

from plain_app import application
from waitress import serve

serve(application, host="127.0.0.1", port=int(sys.argv[1]), threads=4)
