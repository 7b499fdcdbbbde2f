"""What keeps cluster and model in step.

`handlers`      kopf: MonitoredService objects in
`services`      the MonitoredServices that exist, and a watch for each
`watch`         one service: its pods and workloads into its fleet
`status`        the picture out into CR statuses, rarely and small
`conditions`    from a picture to the status, pure
`signals`       the part of it that names endpoints, errors, requests and visitors, pure
`causes`        the part of it that says whose fault it is, pure
`announcements` events about that; `telling` one event
`takeback`      verdicts on injection: orders, entries of the status, events
`kubelets`      what pods without a probe use
`visitors`      the keys that visitors are hashed with
`certificates`  our CA and serving certificate
`bundle`        the CA's public part to where agents and people find it
"""
