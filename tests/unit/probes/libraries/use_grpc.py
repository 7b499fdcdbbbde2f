"""grpc's client, with a server in the same process."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

os.environ["GRPC_VERBOSITY"] = "NONE"  # else it says, now and then, that a server has gone
import grpc

NAME = "grpc 127.0.0.1"


class Feed(grpc.GenericRpcHandler):
    """Answers with the status that it is asked for."""

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, request, context):
        if request == b"slow":
            time.sleep(1)
        if request not in (b"ok", b"slow"):
            context.abort(getattr(grpc.StatusCode, request.decode()), "asked for")
        return request


class Through(grpc.UnaryUnaryClientInterceptor):
    """An application's own."""

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(details, request)


def scenario(seen, addresses):
    server = grpc.server(ThreadPoolExecutor(2), handlers=(Feed(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    call = channel.unary_unary("/feed.Feed/Get")
    seen(NAME, lambda: call(b"ok", timeout=5).decode())
    seen(NAME, lambda: call.with_call(b"ok", timeout=5)[0].decode())
    for status, reason in (("NOT_FOUND", ""), ("INTERNAL", "error"), ("RESOURCE_EXHAUSTED", "throttled")):
        try:
            call(status.encode(), timeout=5)
        except grpc.RpcError as error:
            seen(None, lambda error=error: error.code().name)
        seen.expect(NAME, reason)
    for target, request, timeout, reason in (
        (f"127.0.0.1:{port}", b"slow", 0.2, "timeout"),
        ("127.0.0.1:1", b"ok", 5, "refused"),
    ):
        try:
            grpc.insecure_channel(target).unary_unary("/feed.Feed/Get")(request, timeout=timeout)
        except grpc.RpcError as error:
            seen(None, lambda error=error: error.code().name)
        seen.expect(NAME, reason)
    own = grpc.intercept_channel(channel, Through()).unary_unary("/feed.Feed/Get")
    seen(NAME, lambda: own(b"ok", timeout=5).decode())
    server.stop(0)
