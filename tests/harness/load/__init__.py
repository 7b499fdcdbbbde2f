"""An open-loop load generator that writes down the truth: what it sent, when, and what came back.

Requests start on schedule whatever the answers do, so a slow service is seen as slow and not as less load.
"""
