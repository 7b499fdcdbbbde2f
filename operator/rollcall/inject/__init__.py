"""Injection, pure: which pods get the agent and why not (decide), what they get (render), and the JSON Patch (patch).

One function, two doors: the webhook and `rollcall inject` both call `rollcall.inject.patch.inject`.
"""
