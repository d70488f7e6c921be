"""The bundled sample: the papers of a company that does not exist, made of building blocks, the same every time."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from app.document import Document

SIZE: Final = 600
"""Documents of the sample."""

_SEED: Final = 20240101
_NAMESPACE: Final = UUID("5f0c1a52-0f6e-4a52-9d1b-7b1a3c0e9d11")
_FIRST: Final = datetime(2022, 1, 3, 9, tzinfo=UTC)

_AUTHORS: Final = ("Ada Lindqvist", "Bruno Keller", "Chidi Okafor", "Dana Petrov", "Emi Tanaka", "Farid Haddad")

#: By subject: its tags, things that it is about, what is done to them, and what goes wrong.
_SUBJECTS: Final[dict[str, tuple[Sequence[str], Sequence[str], Sequence[str], Sequence[str]]]] = {
    "databases": (
        ("engineering", "databases"),
        ("the primary database", "a read replica", "the connection pool", "a slow query", "the backup schedule"),
        ("restore", "migrate", "monitor", "resize", "index"),
        ("replication fell behind", "the disk filled up", "a migration held a lock", "statistics were out of date"),
    ),
    "search": (
        ("engineering", "search"),
        ("the search cluster", "a shard", "the synonym list", "the ranking of results", "an index template"),
        ("rebalance", "reindex", "tune", "snapshot", "warm"),
        ("a shard stayed unassigned", "queries timed out", "the mapping had too many fields", "results were stale"),
    ),
    "networks": (
        ("engineering", "networks"),
        ("the load balancer", "a private subnet", "the firewall", "a DNS record", "the VPN gateway"),
        ("inspect", "replace", "route", "encrypt", "document"),
        ("a certificate expired", "packets were dropped", "the health check failed", "a route was missing"),
    ),
    "security": (
        ("security", "policy"),
        ("an access key", "the audit trail", "a service account", "the incident plan", "customer data"),
        ("rotate", "review", "revoke", "classify", "protect"),
        ("a key was committed", "permissions were too wide", "a laptop was lost", "an alert was ignored"),
    ),
    "people": (
        ("people", "policy"),
        ("the holiday calendar", "a new colleague", "the on-call rota", "parental leave", "the training budget"),
        ("plan", "welcome", "approve", "share", "renew"),
        ("two people were away at once", "the form was out of date", "nobody was on call", "the budget ran out"),
    ),
    "travel": (
        ("travel", "expenses"),
        ("a train ticket", "the hotel list", "a travel advance", "the mileage rate", "a conference visit"),
        ("book", "claim", "approve", "compare", "cancel"),
        ("the receipt was missing", "the flight was cancelled", "the rate had changed", "the limit was exceeded"),
    ),
    "kitchen": (
        ("office", "kitchen"),
        ("the coffee machine", "the fridge", "green tea", "the dishwasher", "the fruit basket"),
        ("clean", "refill", "descale", "order", "share"),
        ("it leaked", "somebody took the last cup", "the beans were stale", "the label had come off"),
    ),
    "customers": (
        ("sales", "customers"),
        ("a renewal", "the price list", "a support case", "the onboarding call", "a reference customer"),
        ("prepare", "follow up", "escalate", "summarise", "close"),
        ("the contract had lapsed", "the answer took too long", "the invoice was wrong", "the wish was misread"),
    ),
}  # fmt: skip

#: By kind: the title, and the sentences that a text of it is made of.
_KINDS: Final[dict[str, tuple[str, Sequence[str]]]] = {
    "guide": (
        "How to {verb} {thing}",
        (
            "This guide shows how to {verb} {thing} without help.",
            "Before you {verb} {thing}, tell your team and choose a quiet hour.",
            "Write down what {thing} looked like before, so that you can go back.",
            "If {trouble}, stop and ask in the {subject} channel.",
            "Afterwards check {other} as well: the two depend on each other.",
            "The whole procedure takes about {minutes} minutes.",
        ),
    ),
    "report": (
        "What happened when {trouble}",
        (
            "On a {weekday} {trouble}, and it took {minutes} minutes until somebody noticed.",
            "The cause was that nobody had taken the time to {verb} {thing}.",
            "We have since learned to {verb} {other} every week.",
            "No customer was affected, but {count} colleagues had to wait.",
            "An alarm now tells us before {trouble} again.",
        ),
    ),
    "policy": (
        "Rules for {thing}",
        (
            "Everybody who works with {thing} follows these rules.",
            "Only the {subject} team may {verb} {thing}; all others ask first.",
            "Exceptions need the approval of two people and end after {count} days.",
            "When {trouble}, the owner writes a short report within {count} days.",
            "These rules are reviewed once a year, together with those for {other}.",
        ),
    ),
    "minutes": (
        "Meeting about {thing} and {other}",
        (
            "{author} presented the state of {thing}.",
            "We agreed to {verb} {other} first, because it is used more often.",
            "It was asked why {trouble} twice this quarter; the answer is still open.",
            "The next meeting is on {weekday}, in the room beside the kitchen.",
            "{count} of {minutes} open points are done.",
        ),
    ),
}


def corpus(size: int = SIZE) -> Iterator[tuple[UUID, Document]]:
    """Documents with their ids: the same ones for the same size, and for a smaller one the first of them."""
    chance = random.Random(_SEED)  # noqa: S311 - a sample, no secret
    for number in range(size):
        yield uuid5(_NAMESPACE, str(number)), _document(chance, number)


def _document(chance: random.Random, number: int) -> Document:
    subject = chance.choice(list(_SUBJECTS))
    tags, things, verbs, troubles = _SUBJECTS[subject]
    kind = chance.choice(list(_KINDS))
    title, sentences = _KINDS[kind]
    thing, other = chance.sample(things, 2)
    author = chance.choice(_AUTHORS)
    words = {
        "subject": subject,
        "thing": thing,
        "other": other,
        "verb": chance.choice(verbs),
        "trouble": chance.choice(troubles),
        "author": author,
        "weekday": chance.choice(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")),
        "minutes": chance.randrange(5, 180, 5),
        "count": chance.randrange(2, 15),
    }
    first, *rest = sentences
    told = [_sentence(text.format(**words)) for text in (first, *chance.sample(rest, len(rest)))]
    return Document(
        title=_sentence(title.format(**words)),
        content="\n\n".join([" ".join(told[:3]), " ".join(told[3:])]),
        author=author,
        language="en",
        tags=tuple(sorted({*tags})),
        metadata={"kind": kind, "pages": chance.randrange(1, 20), "reviewed": chance.random() < 0.6},
        published_at=_FIRST + timedelta(days=number, minutes=chance.randrange(480)),
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
