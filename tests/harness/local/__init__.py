"""The provider that needs no Docker: a Kubernetes of plain processes on this machine (Linux, root).

The control plane runs beside everything else, on a bridge's address; each node is a set of namespaces with its own
containerd, kubelet and kube-proxy. Several clusters live side by side: each name has its own index, hence its own addresses.
"""
