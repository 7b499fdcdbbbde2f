"""gunicorn's settings: two pre-forked workers of four threads, which drain on SIGTERM."""

wsgi_app = "orders:create_app()"
bind = "0.0.0.0:8080"
workers = 2
worker_class = "gthread"
threads = 4
timeout = 60
graceful_timeout = 15
worker_tmp_dir = "/tmp"
control_socket_disable = True
