"""The commands that say what it costs: `docsearch cost` and `docsearch cost refresh`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from rich.console import Console, RenderableType

from components.errors import ConfigError, DocsearchError
from infra import clouds, console, report
from infra.cli_check import today
from infra.console import WIDE, all_option, err, examples, json_option, local_option, show, show_json, stacks_of
from infra.cost.page import page
from infra.cost.sections import sections_of
from infra.cost.statement import MAX_AGE_DAYS, Grouping, Statement, Status, grouping
from infra.cost.table import statement_table
from infra.errors import BudgetError, IncompleteError
from infra.progress import Progress

if TYPE_CHECKING:
    from infra.cost.change import Difference
    from infra.cost.rates import Rates
    from infra.plan import Plan

T = TypeVar("T")

FORMATS: Final = ("terminal", "json", "csv", "html")
LIST_PRICE: Final = "none"
"""Instead of a file of commitments: nothing is taken off."""

_EXISTING: Final = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("stack", nargs=-1)
@all_option
@local_option
@click.option("--base", "ref", metavar="REF", help="Also show the difference to this commit, on a local cloud.")
@click.option("--by", default="component", show_default=True, help="Add up by component, service, resource or tag=KEY.")
@click.option("--format", "shape", type=click.Choice(FORMATS), help="What is printed; default terminal.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print one row for each charge.")
@click.option("--out", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write it there instead.")
@click.option("--budget", metavar="AMOUNT", help='Of all named stacks together, such as "60000 USD"; exits with 11.')
@click.option("--usage", type=_EXISTING, help="What is used; default stacks/usage.yaml.")
@click.option("--commitments", metavar="FILE|none", help="Default stacks/commitments.yaml; none for list prices.")
@click.option("--snapshot", type=_EXISTING, help="The prices; default infra/cost/prices.json.")
@click.option(
    "--max-age",
    "max_age_days",
    type=click.IntRange(min=0),
    default=MAX_AGE_DAYS,
    show_default=True,
    metavar="DAYS",
    help="How old the prices may be.",
)
@click.option("--against-requirement", is_flag=True, help="Put the requirement's own table beside ours.")
@click.option("--levers", "with_levers", is_flag=True, help="Show what each way to save is worth.")
@click.option("--curve", "with_curve", is_flag=True, help="Show what it costs at 10 and 100 times the size.")
@click.option("--workloads", "with_workloads", is_flag=True, help="Show which workloads the nodes are there for.")
@examples(
    "docsearch cost prod --local",
    "docsearch cost --all --local --against-requirement --levers --curve --workloads",
    "docsearch cost --all --local --format html --out cost.html",
    "docsearch cost prod --base main --budget '60000 USD'",
    "docsearch cost prod --local --by tag=owner --commitments none",
    "docsearch cost prod --local --json | jq .monthly",
)
def cost(
    stack: tuple[str, ...],
    every: bool,
    is_local: bool,
    ref: str | None,
    by: str,
    shape: str | None,
    as_json: bool,
    as_csv: bool,
    file: Path | None,
    budget: str | None,
    usage: Path | None,
    commitments: str | None,
    snapshot: Path | None,
    max_age_days: int,
    against_requirement: bool,
    with_levers: bool,
    with_curve: bool,
    with_workloads: bool,
) -> None:
    """Say what stacks cost in a month, by component: at least, as expected and at most.

    Prices are the snapshot in infra/cost/prices.json, which `docsearch cost refresh` renews; nothing here asks the
    network for them. What has no price, or is not known yet, is named and never counted as zero: the exit code then is
    12, and so it is where prices are too old. Above a budget it is 11.
    """
    from infra.cost.budget import Budget  # noqa: PLC0415
    from infra.cost.rates import Rates  # noqa: PLC0415

    # Everything that can be wrong is looked at before the first engine starts.
    names = stacks_of(stack, every)
    its = _shape(shape, as_json, as_csv)
    wanted = grouping(by)
    most = Budget.of(budget, where="--budget") if budget is not None else None
    rates = Rates.load(
        today(),
        snapshot=snapshot,
        usage=usage,
        commitments=_commitments(commitments),
        max_age_days=max_age_days,
    )
    if file is not None and not file.absolute().parent.is_dir():
        raise ConfigError(f"--out {file}: there is no such folder", remedy="Make it first")
    plans, base = _plans(names, is_local, ref)
    found = rates.statement(plans, base=base, budget=most)
    found = _beside(found, rates, plans, against_requirement, with_levers, with_curve)
    if with_workloads:
        found = replace(found, workloads=rates.workloads(plans))
    _tell(_written(found, wanted, its), file)
    refuse(found)


def _shape(shape: str | None, as_json: bool, as_csv: bool) -> str:
    named = [shape] if shape else []
    named += [name for name, wanted in (("json", as_json), ("csv", as_csv)) if wanted and name != shape]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)} exclude each other", remedy="Say one of them")
    return named[0] if named else "terminal"


def _commitments(text: str | None) -> Path | None:
    from infra.cost.commitments import DEFAULT  # noqa: PLC0415

    if text == LIST_PRICE:
        return None
    if text is not None and not Path(text).is_file():
        raise ConfigError(
            f"--commitments {text}: there is no such file", remedy=f"Name one, or {LIST_PRICE} for list prices"
        )
    return DEFAULT if text is None else Path(text)


def _plans(names: Sequence[str], is_local: bool, ref: str | None) -> tuple[list[Plan], str]:
    """The plan of each stack, and the commit that they start from."""
    if ref is None:
        found = []
        for name in names:
            with console.deployment(name, is_local, "price") as subject:
                found.append(subject.preview())
        return found, ""
    from infra import base as bases  # noqa: PLC0415
    from infra.check import looked_at  # noqa: PLC0415
    from infra.program import read_config  # noqa: PLC0415

    commit = bases.commit(ref)

    def opened(name: str, cloud: clouds.Cloud) -> AbstractContextManager[Any]:
        return console.deployment(name, True, "price", program=False, on=cloud)

    with (
        Progress(err, f"price against {commit[:12]}").shown() as progress,
        bases.running(commit, tell=progress.tell) as root,
    ):
        cloud = clouds.local(read_config(names[0]).account_id, root=root, tell=progress.tell)
        return [looked_at(name, cloud, opened)[0].plan for name in names], commit


def _beside(
    found: Statement, rates: Rates, plans: Sequence[Plan], requirement: bool, levers: bool, curve: bool
) -> Statement:
    """A statement with what was asked for besides the price."""
    if not (requirement or levers or curve):
        return found
    from infra.cost import curve as curves  # noqa: PLC0415
    from infra.cost import levers as ways  # noqa: PLC0415
    from infra.cost import relief  # noqa: PLC0415
    from infra.cost import requirement as asked  # noqa: PLC0415
    from infra.cost.case import Case  # noqa: PLC0415

    case = Case(tuple(plans), rates.snapshot, rates.usage, rates.commitments)
    return replace(
        found,
        requirement=asked.rows(case) if requirement else None,
        verdict=relief.verdict(case) if requirement else None,
        levers=ways.levers(case) if levers else None,
        curve=curves.curve(case) if curve else None,
    )


def _written(found: Statement, wanted: Grouping, shape: str) -> RenderableType:
    """A statement in one of the formats: something to print for `terminal`, otherwise text that ends with a line."""
    if shape == "json":
        return json.dumps(found.as_json(wanted), indent=2) + "\n"
    if shape == "csv":
        return found.as_csv()
    if shape == "html":
        return page(found, wanted, sections_of(found))
    return statement_table(found, wanted, sections_of(found))


def _tell(what: RenderableType, file: Path | None) -> None:
    if file is not None:
        file.write_text(what if isinstance(what, str) else _plain(what), encoding="utf-8")
        err.print(f"wrote {file}", markup=False)
    elif isinstance(what, str):
        click.echo(what, nl=False)
    else:
        show(what)


def _plain(what: RenderableType) -> str:
    text = io.StringIO()
    Console(file=text, width=WIDE, soft_wrap=True).print(what)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def refuse(found: Statement) -> None:
    """Say that a statement is not whole, or above a budget.

    Raises:
        IncompleteError: It is not whole.
        BudgetError: A budget is exceeded.
    """
    if found.status is Status.INCOMPLETE:
        raise IncompleteError(
            "the price is not whole",
            why=", ".join(found.doubts),
            remedy="docsearch cost refresh" if found.basis.stale else "Price what is named: CONTRIBUTING.md says how",
        )
    if found.status is Status.OVER_BUDGET:
        raise BudgetError(
            str(found.exceeded[0]),
            remedy="Make it cheaper, or raise the budget and say why",
        )


def statement_of(plans: Sequence[Plan]) -> Statement | None:
    """What stacks cost as their plans leave them; None, with the reason on stderr, where that cannot be said.

    What a region costs is told where it comes up, and keeps nothing from coming up.
    """
    from infra.cost.rates import Rates  # noqa: PLC0415

    return _if_known(lambda: Rates.load(today()).statement(plans))


def difference_of(plan: Plan) -> Difference | None:
    """What a plan does to the price; None, with the reason on stderr, where that cannot be said."""
    from infra.cost.rates import Rates  # noqa: PLC0415

    return _if_known(lambda: Rates.load(today()).difference(plan))


def _if_known(price: Callable[[], T]) -> T | None:
    try:
        return price()
    except DocsearchError as error:
        err.print(f"the price is not known: {error}", markup=False)
        return None


@click.command("cost refresh")
@json_option
@click.option("--snapshot", type=_EXISTING, help="The file to renew; default infra/cost/prices.json.")
@examples("docsearch cost refresh", "docsearch cost refresh --json | jq .changes")
def cost_refresh(as_json: bool, snapshot: Path | None) -> None:
    """Renew the price snapshot from AWS's price list, and show what changed.

    Needs AWS credentials that may call pricing:GetProducts, and nothing else. A price that AWS's list does not have
    keeps its value and its date, and is named.
    """
    from infra.cost.prices import DEFAULT  # noqa: PLC0415
    from infra.cost.refresh import renew  # noqa: PLC0415

    with Progress(err, "cost refresh").shown() as progress:
        found = renew(snapshot or DEFAULT, today=today(), tell=progress.tell)
    if as_json:
        show_json(found.as_json())
        return
    rows = [
        (
            one.new.service,
            one.new.sku,
            one.new.region,
            f"{one.old.usd:f}",
            f"{one.new.usd:f}",
            one.new.unit,
            "" if one.percent is None else f"{one.percent:+}%",
        )
        for one in found.changes
    ]
    if rows:
        show(report.rows_table(("service", "sku", "region", "old", "new", "unit", "change"), rows))
    if found.kept:
        kept = [(one.price.service, one.price.sku, one.price.region, one.price.as_of, one.why) for one in found.kept]
        show(report.rows_table(("service", "sku", "region", "stays as of", "why"), kept))
    show(
        f"{found.read} of {len(found.snapshot.prices)} prices read, {len(found.changes)} changed since "
        f"{found.previous}, {len(found.kept)} as they were"
    )
