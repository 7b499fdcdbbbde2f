"""The command line `rollcall`, also installed as `kubectl-rollcall`. It talks to live API and API server, as the caller.

`main`        commands and their options
`connection`  from a kubeconfig to the live API, through a port-forward of its own
`stream`      frames as they come, over reconnects
`screen`      frames as tables
`signals`     parts of a service as tables: endpoints, errors, requests in flight, pods
`top`         the live screen
`parts`       the commands that show one part
`cost`        what monitoring itself uses
`inject`      the webhook's patch, offline
"""
