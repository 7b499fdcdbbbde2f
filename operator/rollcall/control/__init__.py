"""What keeps cluster and model in step.

`handlers`      kopf: MonitoredService objects in
`services`      the MonitoredServices that exist, and a watch for each
`watch`         one service: its pods and workloads into its fleet
`status`        the picture out into CR statuses, rarely and small
`conditions`    from a picture to the status, pure
`certificates`  our CA and serving certificate
`bundle`        the CA's public part to where agents and people find it
"""
