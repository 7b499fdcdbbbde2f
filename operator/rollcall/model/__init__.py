"""The live picture, as pure values and small classes: no I/O, no clock of its own (time is passed in, in seconds).

`rows`      the latest report of every pod of a service, as one matrix
`windows`   cumulative sums at fold times, and what happened between two of them
`sketch`    quantiles of histograms on the wire's grid
`states`    which bucket a pod is in, and why a pod is bare
`departures` why a pod left: one of nine causes, with evidence; `leavers` pods on their way out, each judged once
`kept`      what must outlive the process, and how another goes on from it; `before` what was counted before it began
`ledger`    what is kept of pods that left; `slots` the names that successive pods reuse
`tally`     pods by state, counted anew only where something changed
`signals`   facts of all pods, decoded together at the fold: into `endpoints`, `errors`, `visitors`, `dependencies`, `crashes`
`names`     names that pods define for their ids, and a service's table of them
`table`     counts and histograms by name, for endpoints and dependencies
`seconds`   what was added in each of the last seconds
`points`    finished requests one by one, a sample of the last minute
`throttling` whether there is too little of a dependency
`revisions` whether a revision crashes more often than the one before it
`spent`     what the time of a service went into; `bottleneck` what takes the most of it
`requests`  the longest requests in flight
`stuck`     whether requests have stopped finishing
`usage`     CPU of each row's container; `resources` sums them up over a service
`sources`   what tells of each pod's requests
`balance`   whether one pod gets more than its share
`health`    one word for a service, with its reason
`pace`      what happens in each row right now
`moment`    what the reporting pods do at one moment; `totals` what all pods ever did
`fleet`     one service: its pods, its rows, its windows; `fold` is what it looks like at one moment
`roll`      all services and all sessions of agents
`show`      from a fleet to its picture; `pods` its roll
`picture`   the values that leave the model: what API, status, metrics and screens show; `causes` those of whose fault it is
"""
