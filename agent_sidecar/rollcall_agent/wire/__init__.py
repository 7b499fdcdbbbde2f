"""The contract between probe, agent and operator: nothing in here imports anything of ours outside this folder.

`grid`    the latency histogram's buckets
`bands`   classes of in-flight requests by elapsed time
`layout`  the memory-mapped file that a probe writes, one per application worker
`report`  the body of a REPORT frame
`frames`  length-prefixed frames and the JSON bodies of the others

`docs/wire.md` describes the same with a byte-level example.
"""

WIRE_VERSION = 1
