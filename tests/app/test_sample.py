"""The bundled sample is the same every time, and good enough to be stored and searched."""

from app.document import check
from app.sample import SIZE, corpus


def test_the_sample_is_the_same_every_time() -> None:
    whole = [*corpus()]
    assert whole == [*corpus()]
    assert [*corpus(10)] == whole[:10]
    assert len({document_id for document_id, _ in whole}) == SIZE


def test_the_sample_can_be_stored_and_has_something_to_filter_by() -> None:
    documents = [check(document, max_bytes=2**20) for _, document in corpus()]
    assert len({document.digest() for document in documents}) == SIZE
    assert len({tag for document in documents for tag in document.tags}) > 10
    assert len({document.author for document in documents}) > 5
    assert not [document for document in documents if "{" in document.title + document.content]
