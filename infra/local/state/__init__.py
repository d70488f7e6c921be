"""The local cloud's state service, in place of Pulumi Cloud: journals updates instead of rewriting the whole state.

On the engine's file backend each step writes the whole state, which grows with the square of the number of resources.
To a service the engine sends each step once, so the work is linear, and a killed update still leaves its trace.
"""

from infra.local.state.journal import StateError
from infra.local.state.server import Access, StateServer, access, client_env, serve

__all__ = ["Access", "StateError", "StateServer", "access", "client_env", "serve"]
