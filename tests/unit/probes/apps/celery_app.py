"""Celery tasks on a broker of files in the folder BROKER; `python celery_app.py NAME...` sends tasks."""

import os
import sys
import time

from celery import Celery

folder = os.environ["BROKER"]
app = Celery("feeds", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": folder,
        "data_folder_out": folder,
        "control_folder": folder + "-control",
    },
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="feeds.send")
def send():
    return "sent"


@app.task(name="feeds.fail")
def fail():
    raise RuntimeError("nobody is there")


@app.task(name="feeds.nested")
def nested():
    send.apply()


@app.task(name="feeds.again", bind=True, max_retries=1, default_retry_delay=0)
def again(self):
    if self.request.retries == 0:
        raise self.retry(countdown=0)


@app.task(name="feeds.hang")
def hang():
    time.sleep(30)


@app.task(name="feeds.slow", soft_time_limit=1)
def slow():
    time.sleep(30)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        app.send_task("feeds." + name)
