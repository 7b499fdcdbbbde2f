"""The local Kubernetes cluster that Rollcall is developed and tested on.

Real servers, real containers, no account anywhere. `python -m tests.harness --help` is the command; `Cluster` in
`cluster.py` is the same from Python. Nothing here is shipped to users.
"""
