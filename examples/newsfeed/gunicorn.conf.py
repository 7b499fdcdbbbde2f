"""gunicorn's settings: two pre-forked workers that survive the hanging endpoint and drain on SIGTERM."""

import feed

wsgi_app = "newsfeed:create_app()"
bind = "0.0.0.0:8080"
workers = 2
# With one thread each, a few requests to /slow would fill the pod, and the rest would wait unseen in the listen queue.
worker_class = "gthread"
threads = 4
# Longer than the longest hang, or gunicorn would kill the worker.
timeout = 90
# The pod's grace period of 20 s less the 3 s that preStop sleeps, with a margin.
graceful_timeout = 15
backlog = 512
# The root file system is read-only: the heartbeat files go where writing is allowed, the control socket is not needed.
worker_tmp_dir = "/tmp"
control_socket_disable = True


def on_starting(server: object) -> None:
    """Make the database once, before the workers are forked."""
    feed.create_database(feed.database_path())
