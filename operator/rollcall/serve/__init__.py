"""What the operator serves over HTTP.

`webhook`    the API server asks whether and how to inject
`publisher`  one encoded frame per service and fold, shared by all readers
`access`     who calls the live API and what they may read
`live`       the live API: JSON, and SSE by `stream`; `openapi` describes it
`web`        the page's files, built from web/
`metrics`    Prometheus; `signals` its series by endpoint, error, visitor and resource,
             `causes` those by dependency, signal and class of time
"""
