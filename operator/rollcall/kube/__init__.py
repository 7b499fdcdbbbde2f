"""The Kubernetes API as the operator uses it: raw JSON over one HTTP session, no model layer.

`client`        requests, with the identity of the pod or of a kubeconfig
`informer`      a live list of one kind: pages, watch, resume, relist
`objects`       the parts of pods and workloads that are decoded
`terminations`  ends of containers, each noticed once
`kubelet`       what a node's kubelet says its containers use
`events`        what kubectl describe tells people
`secrets`       a Secret that all replicas agree on
`lease`         who leads
`review`        who is calling (TokenReview) and what they may do (SubjectAccessReview)
"""
