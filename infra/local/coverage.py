"""Which resource types the local cloud answers for, and how honestly."""

from __future__ import annotations

from infra.local import aws, kubernetes, kubernetes_custom, random
from infra.local.resource import Coverage


def coverage() -> list[Coverage]:
    """Every type by token: executed (real calls) or recorded (checked and kept)."""
    return [*aws.coverage(), *random.coverage(), *kubernetes.coverage(), *kubernetes_custom.coverage()]
