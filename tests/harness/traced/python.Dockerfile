# The application of the tests that traces itself with OpenTelemetry's SDK for Python. Build context: the repository's root.
ARG BASE=python:3.13-slim
FROM ${BASE}
COPY build/wheels/traced-python /wheels
COPY tests/harness/traced/requirements.txt /wheels/
RUN python3 -m venv /opt/traced \
 && /opt/traced/bin/pip install --no-cache-dir --no-index --find-links /wheels -r /wheels/requirements.txt \
 && rm -rf /wheels
COPY tests/unit/agent/otlp/flask_app.py /srv/
USER 65532:65532
EXPOSE 8080
ENV PORT=8080
CMD ["/opt/traced/bin/python", "/srv/flask_app.py"]
