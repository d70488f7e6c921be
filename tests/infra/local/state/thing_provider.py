"""A provider that does nothing, in a process of its own: `python thing_provider.py` prints its port.

Inputs of a `thing:index:Thing`: `wait` (seconds that a create or update takes), `fail` (refuse to create), anything
else is echoed as output, with the marks of secrets kept.
"""

import sys
import time
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc


class Things(provider_pb2_grpc.ResourceProviderServicer):
    """Says yes."""

    def Attach(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=True, supports_autonaming_configuration=False
        )

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="1.0.0")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True
        )

    def Check(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:
        names = sorted(set(request.news) | set(request.old_inputs))
        changed = [name for name in names if request.news.fields.get(name) != request.old_inputs.fields.get(name)]
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=[name for name in changed if name == "kind"],
            deleteBeforeReplace="first" in request.news.fields,
        )

    def Create(self, request: Any, context: Any) -> Any:
        fields = request.properties.fields
        if not request.preview:
            time.sleep(fields["wait"].number_value if "wait" in fields else 0)
            if "fail" in fields:
                context.abort(grpc.StatusCode.UNKNOWN, "told to fail")
        return provider_pb2.CreateResponse(
            id="" if request.preview else request.urn[-40:], properties=request.properties
        )

    def Read(self, request: Any, context: Any) -> Any:
        gone = "vanishes" in request.inputs.fields
        seen = struct_pb2.Struct()
        seen.CopyFrom(request.properties)
        if "drifts" in request.inputs.fields:
            seen["drifts"] = "changed"
        return provider_pb2.ReadResponse(id="" if gone else request.id, properties=seen, inputs=request.inputs)

    def Update(self, request: Any, context: Any) -> Any:
        if not request.preview:
            time.sleep(request.news.fields["wait"].number_value if "wait" in request.news.fields else 0)
        return provider_pb2.UpdateResponse(properties=request.news)

    def Delete(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Things(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    sys.stdin.read()  # until the parent is gone
    server.stop(0)


if __name__ == "__main__":
    main()
