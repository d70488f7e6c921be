"""What is measured is what the service does: documents are written as its worker writes them."""

from uuid import UUID

import orjson
import pytest

from app.index.placement import Place, Tier, layout_of
from tests.bench import __main__, api
from tests.bench.load import Corpus

TENANT_ID = UUID(int=7)


@pytest.mark.parametrize("tier", Tier)
def test_documents_go_where_the_service_looks_for_them(tier: Tier) -> None:
    layout = layout_of(Place(tier), TENANT_ID)
    sent = api._bulk([*Corpus(1).documents(3)], api.Target(TENANT_ID, layout))
    actions, documents = [orjson.loads(line) for line in sent.splitlines()[::2]], sent.splitlines()[1::2]
    assert [one["index"]["_index"] for one in actions] == [layout.alias] * 3
    assert {one["index"].get("routing") for one in actions} == {layout.routing}
    assert len({one["index"]["_id"] for one in actions}) == 3
    assert {orjson.loads(one)["tenant_id"] for one in documents} == {str(TENANT_ID)}


def test_nothing_is_said_about_writing_when_nothing_is_written_through_the_api(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--parts", "indexing,misses", "--straight"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 2
    assert "--straight writes past the API" in capsys.readouterr().err
