"""The command line `rollcall`, also installed as `kubectl-rollcall`. It talks to live API and API server, as the caller.

`main`        commands and their options
`connection`  from a kubeconfig to the live API, through a port-forward of its own
`stream`      frames as they come, over reconnects
`screen`      frames as tables
`top`         the live screen
`cost`        what monitoring itself uses
`inject`      the webhook's patch, offline
"""
