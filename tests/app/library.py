"""Three documents, and what filters find of them: what tests of engines ask about."""

from datetime import UTC, datetime, timedelta

from app.document import Document
from app.index.model import Exists, Filter, Not, Range, Term


def day(number: int) -> datetime:
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number - 1)


LIBRARY = {
    "tea": Document(
        title="Brewing green tea",
        content="Steam the leaves. Boiling water burns green leaves.",
        author="ada",
        tags=("drinks", "tea"),
        metadata={"pages": 12, "printed": True, "shelf": "north"},
        published_at=day(1),
    ),
    "coffee": Document(
        title="Brewing coffee",
        content="Grind the beans, and pour boiling water over them while it is running through a filter.",
        author="bob",
        tags=("coffee", "drinks"),
        metadata={"pages": 30, "printed": False},
        published_at=day(2),
    ),
    "runner": Document(
        title="A runner's diary",
        content="She runs in New York every morning. 1 < 2, Tea & toast after that.",
        author="ada",
        tags=("sport",),
        metadata={"pages": 200},
        published_at=day(3),
    ),
}

FILTERS: list[tuple[Filter, set[str]]] = [
    (Term("author", ("ada",)), {"tea", "runner"}),
    (Term("author", ("ada", "bob")), {"tea", "runner", "coffee"}),
    (Term("tags", ("tea", "sport")), {"tea", "runner"}),
    (Term("metadata.printed", (True,)), {"tea"}),
    (Term("metadata.pages", (12, 200.0)), {"tea", "runner"}),
    (Term("metadata.shelf", ("north",)), {"tea"}),
    (Range("metadata.pages", gt=12, lte=200), {"coffee", "runner"}),
    (Range("metadata.shelf", gt=0), set()),
    (Range("published_at", gte=day(2)), {"coffee", "runner"}),
    (Range("published_at", lt=day(2)), {"tea"}),
    (Exists("metadata.shelf"), {"tea"}),
    (Exists("author"), {"tea", "coffee", "runner"}),
    (Not(Exists("metadata.shelf")), {"coffee", "runner"}),
    (Not(Term("author", ("ada",))), {"coffee"}),
    (Not(Range("metadata.shelf", gt=0)), {"tea", "coffee", "runner"}),
]
