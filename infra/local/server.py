"""The provider process: the three packages of the local cloud, each on its own port.

It runs beside the program's process, not in it: in one process the two fight for the interpreter lock, which made a
preview three times slower.
"""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from infra.local.aws import AwsPackage
from infra.local.kubernetes import DEFAULT_VERSION, KubernetesPackage
from infra.local.kubernetes_custom import CUSTOM
from infra.local.provider import Servicer
from infra.local.random import RandomPackage
from infra.local.resource import Package
from infra.local.store import Store

MESSAGE_BYTES = 400 * 1024 * 1024
"""Largest gRPC message; the engine's own limit (pulumi sdk, `rpcutil.GrpcChannelOptions`)."""

WORKERS = 32


def serve(package: Package, port: int) -> grpc.Server:
    """Serve one package on a loopback port.

    Args:
        package: What answers.
        port: TCP port; 0 picks a free one.
    """
    server = grpc.server(
        ThreadPoolExecutor(WORKERS, thread_name_prefix=package.name),
        options=[
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        ],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(package), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.server", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the local cloud")
    parser.add_argument("--aws-port", type=int, required=True)
    parser.add_argument("--kubernetes-port", type=int, required=True)
    parser.add_argument("--random-port", type=int, required=True)
    parser.add_argument("--kubernetes-version", default=DEFAULT_VERSION, help="whose schemas objects are held against")
    parser.add_argument("--moto-url", required=True, help="where AWS calls go")
    args = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    store = Store(args.root / "recorded.sqlite")
    servers = [
        serve(AwsPackage(args.moto_url, store), args.aws_port),
        serve(KubernetesPackage(store, version=args.kubernetes_version, custom=CUSTOM), args.kubernetes_port),
        serve(RandomPackage(), args.random_port),
    ]
    # What is loaded stays; looking through it again and again took a sixth of an update.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    stopping.wait()
    for server in servers:
        server.stop(grace=5).wait()


if __name__ == "__main__":
    main()
