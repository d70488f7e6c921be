"""Counts and checksums of two sides, and what becomes of documents that differ."""

from uuid import uuid4

from app.comparison import Difference, Side


def test_a_checksum_is_of_documents_and_versions_whatever_their_order() -> None:
    one, other = uuid4(), uuid4()
    left, right, third = Side(), Side(), Side()
    left.add(one, 1)
    left.add(other, 2)
    right.add(other, 2)
    right.add(one, 1)
    third.add(one, 2)
    third.add(other, 1)
    assert (left.number, left.checksum) == (right.number, right.checksum)
    assert third.checksum != left.checksum
    right.take(one, 1)
    right.add(one, 5)
    assert right.checksum != left.checksum


def test_a_document_that_differed_for_a_moment_is_equal_in_the_end() -> None:
    difference, document_id = Difference(), uuid4()
    difference.see(uuid4(), 1, 1)
    difference.see(document_id, 2, 1)
    assert difference.verdict("a", "x").other == 1
    difference.now(document_id, 3, 3, refused=False)
    verdict = difference.verdict("a", "x")
    assert (verdict.equal, verdict.documents, verdict.differences) == (True, 2, "none")
