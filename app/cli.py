"""The `docsearch-api` command: what its image runs, and what an operator does by hand."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import uvloop

from app import administration, compliance, process
from app.comparison import Comparison
from app.errors import ApiError
from app.index.placement import GIB, Tier
from app.observe import configure_logs
from app.settings import Settings, load
from app.store.schema import migrate as migrate_schema
from app.store.tenants import MAX_PER_MINUTE

EPILOG: Final = """Exit codes: 0 well; 1 it could not be done; 2 wrong settings or command line; 3 the index differs
from the database, or the audit trail is not whole; 130 interrupted. Every option of the service is an environment
variable: docs/api.md lists them."""

SAMPLE: Final = "sample"
"""The tenant that the sample is loaded for."""

MAX_DAYS: Final = 36_500
"""The longest that a key is made for, days: a hundred years are within the calendar of Python."""

_T = TypeVar("_T")
_Command = TypeVar("_Command", bound=Callable[..., Any])


class Group(click.Group):
    """A group whose errors are told in the service's own words, on stderr, with their exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except ApiError as error:
            click.secho(f"docsearch-api: {error}", fg="red", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.exit(130)


def examples(*lines: str) -> Callable[[_Command], _Command]:
    """Adds examples to the help of a command."""

    def add(command: _Command) -> _Command:
        command.__doc__ = f"{command.__doc__}\n\n    \b\n    Examples:\n" + "\n".join(f"      {one}" for one in lines)
        return command

    return add


@click.group(cls=Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="docsearch")
def cli() -> None:
    """A multi-tenant document search API.

    Without a DATABASE_HOST everything is embedded: a PostgreSQL of its own under DOCSEARCH_HOME (.docsearch), its full
    text as the index, its outbox as the queue.
    """


def _port(command: _Command) -> _Command:
    return click.option("--port", type=click.IntRange(0, 65535), help="TCP port; before DOCSEARCH_PORT.")(command)


@cli.command()
@_port
@click.option("--worker/--no-worker", default=None, help="Index beside it; by default only if embedded.")
@click.option("--sample", is_flag=True, help="Load the bundled sample, and print a key for it.")
@examples("docsearch-api serve", "docsearch-api serve --port 9000 --sample", "docsearch-api serve --no-worker")
def serve(port: int | None, worker: bool | None, sample: bool) -> None:
    """Answer requests. Ctrl-C, or SIGTERM, stops it once what it has begun is answered."""
    settings = _settings(port)

    async def run() -> None:
        async with process.database_of(settings) as its:
            address = ""
            if sample:
                key = await administration.sample(its, SAMPLE)
                address = f"#key={key}"
                click.echo(f"API key of the tenant {SAMPLE}, for a week: {key}")
            with_worker = settings.embedded if worker is None else worker

            def ready(url: str) -> None:
                click.echo(f"Search page: {url}{address}\nAPI: {url}docs\nCtrl-C stops it.")

            await process.serve(its, with_worker=with_worker, ready=ready)

    _run(run())


def _role(name: str, text: str) -> None:
    """What the platform's pods are told to run: the name of their role."""

    @cli.command(name, help=text + f"\n\n    \b\n    Examples:\n      docsearch-api {name}")
    @_port
    def command(port: int | None) -> None:
        _run(process.serve(_pod(port, name), with_worker=False, ready=click.echo))


_role("search", "Answer requests, as the search role of the platform.")
_role("document", "Answer requests, as the document role of the platform.")


@cli.command()
@examples("docsearch-api worker")
def worker() -> None:
    """Bring what was written into the index, until it is stopped."""
    settings = _settings()

    async def run() -> None:
        async with process.database_of(settings) as its:
            await process.work(its, ready=lambda: click.echo("Working. Ctrl-C stops it."))

    _run(run())


@cli.command()
@_port
@examples("docsearch-api index")
def index(port: int | None) -> None:
    """Bring what was written into the index and answer probes, as the index role of the platform."""
    _run(process.serve(_pod(port, "index"), with_worker=True, ready=click.echo, probes_only=True))


@cli.command()
@examples("docsearch-api migrate", "DATABASE_HOST=db DATABASE_USER=owner docsearch-api migrate")
def migrate() -> None:
    """Bring the database to the schema of this version. Safe to run again, and by two at once.

    With DOCSEARCH_STANDBY_OF the database is a replica: it is only looked whether the primary's schema is there.
    """
    from app import upkeep  # noqa: PLC0415

    settings = _settings()

    async def run() -> None:
        async with process.database_of(settings) as its:
            if its.standby_of:
                await upkeep.follow(its, tell=click.echo)
                click.echo("The schema is current: it follows the primary's.")
                return
            # Embedded, it has just been migrated; what is applied twice is applied once.
            applied = await migrate_schema(lambda: administration.connect(its))
            await upkeep.prepare(its, tell=click.echo)
            who = "pg_cron" if await administration.schedule_retention(its) else "the worker"
            click.echo(f"Applied {', '.join(applied)}." if applied else "The schema is current.")
            click.echo(f"Old documents are deleted by {who}.")

    _run(run())


@cli.group(cls=Group)
def keys() -> None:
    """Make, list and revoke API keys."""


_tenant = click.option("--tenant", required=True, help="Name of the tenant.")


@keys.command("create")
@_tenant
@click.option("--new-tenant", is_flag=True, help="Make the tenant, if there is none of that name.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "write", "admin"]),
    required=True,
    help="May be repeated.",
)
@click.option("--name", default="", help="What it is for.")
@click.option("--rate-limit", type=click.IntRange(1, MAX_PER_MINUTE), help="Requests per minute.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), help="Days until it expires; by default never.")
@examples(
    "docsearch-api keys create --tenant acme --new-tenant --scope read --scope write",
    "docsearch-api keys create --tenant acme --scope read --days 30 --rate-limit 600 --name website",
)
def create_key(
    tenant: str, new_tenant: bool, scopes: Sequence[str], name: str, rate_limit: int | None, days: int | None
) -> None:
    """Make a key, and print it: it is shown once."""
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    key, its = _administrate(
        lambda settings: administration.create_key(
            settings,
            tenant,
            new_tenant=new_tenant,
            scopes=scopes,
            name=name,
            rate_limit=rate_limit,
            expires_at=expires,
        )
    )
    click.echo(key)
    click.echo(f"{its.prefix}: {', '.join(its.scopes)}; expires {its.expires_at or 'never'}", err=True)


@keys.command("list")
@_tenant
@examples("docsearch-api keys list --tenant acme")
def list_keys(tenant: str) -> None:
    """List a tenant's keys: never the keys themselves."""
    for one in _administrate(lambda settings: administration.list_keys(settings, tenant)):
        state = "active" if one.is_active else "revoked"
        used = f"{one.last_used_at:%Y-%m-%d %H:%M}" if one.last_used_at else "never used"
        click.echo(f"{one.prefix}  {state:8} {','.join(one.scopes):16} {used:17} {one.name}")


@keys.command("revoke")
@_tenant
@click.argument("prefix")
@examples("docsearch-api keys revoke --tenant acme abcdefghijkl")
def revoke_key(tenant: str, prefix: str) -> None:
    """End a key, by the PREFIX that the list shows. It opens nothing after 10 s."""
    gone = _administrate(lambda settings: administration.revoke_key(settings, tenant, prefix))
    click.echo(f"{gone.prefix} is revoked.")


@cli.group(cls=Group)
def tenants() -> None:
    """Suspend a tenant, resume it, set its limit, and place tenants by their size."""


@tenants.command("suspend")
@_tenant
@examples("docsearch-api tenants suspend --tenant acme")
def suspend_tenant(tenant: str) -> None:
    """Answer a tenant nothing any more, from 10 s on. It keeps what it has."""
    _administrate(lambda settings: administration.suspend(settings, tenant, suspended=True))
    click.echo(f"{tenant} is suspended.")


@tenants.command("resume")
@_tenant
@examples("docsearch-api tenants resume --tenant acme")
def resume_tenant(tenant: str) -> None:
    """Answer a suspended tenant again."""
    _administrate(lambda settings: administration.suspend(settings, tenant, suspended=False))
    click.echo(f"{tenant} is served.")


@tenants.command("retention")
@_tenant
@click.option("--years", type=click.IntRange(1, 100), required=True, help="Older documents are deleted every night.")
@examples("docsearch-api tenants retention --tenant acme --years 7")
def retain_documents(tenant: str, years: int) -> None:
    """Set how many years a tenant's documents are kept."""
    _administrate(lambda settings: administration.retain(settings, tenant, years))
    click.echo(f"Documents of {tenant} are kept for {years} years.")


@tenants.command("limit")
@_tenant
@click.option(
    "--per-minute", type=click.IntRange(1, MAX_PER_MINUTE), help="Requests per minute; without it the service's."
)
@examples("docsearch-api tenants limit --tenant acme --per-minute 6000", "docsearch-api tenants limit --tenant acme")
def limit_tenant(tenant: str, per_minute: int | None) -> None:
    """Set how much a tenant may ask, all its keys and users together."""
    _administrate(lambda settings: administration.limit(settings, tenant, per_minute))
    click.echo(f"{tenant} may ask {f'{per_minute:,}' if per_minute else 'as often as the service grants'} a minute.")


@cli.command()
@_tenant
@click.option("--new-tenant", is_flag=True, help="Make the tenant, if there is none of that name.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@examples("docsearch-api load --tenant acme documents.ndjson", "zcat *.gz | docsearch-api load --tenant acme -")
def load_documents(tenant: str, new_tenant: bool, file: Path) -> None:
    """Load documents from FILE, a JSON object per line, as a bulk request has them; - reads what is piped in.

    A line that cannot be loaded is told with its number, and the others go on.
    """
    with click.open_file(str(file), "rb") as lines:
        done, failed = _administrate(
            lambda settings: administration.load(
                settings, tenant, lines, new_tenant=new_tenant, tell=lambda text: click.echo(text, err=True)
            )
        )
    click.echo(f"Loaded {done:,} documents, {failed:,} failed.")
    if failed:
        sys.exit(1)


load_documents.name = "load"
cli.commands["load"] = cli.commands.pop("load-documents")


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_only = click.option("--tenant", help="Only this one; by default all.")


_grace = click.option(
    "--grace",
    type=click.FloatRange(0),
    default=35.0,
    show_default=True,
    help="How long an index is kept after it was left, s: as long as a write or a search may still be at it.",
)


@cli.command("rebuild-index")
@_only
@_as_json
@_grace
@examples("docsearch-api rebuild-index", "docsearch-api rebuild-index --tenant acme --json")
def rebuild_index(tenant: str | None, as_json: bool, grace: float) -> None:
    """Make the index again from the database, and compare the two: counts and checksums per tenant.

    Searches and writes go on meanwhile. Interrupted, it leaves the old index or the new one, and goes on when it is run
    again.
    """
    # Its client of OpenSearch takes half a second to import.
    from app import upkeep  # noqa: PLC0415

    _compared(_administrate(lambda its: upkeep.rebuild(its, tenant, tell=_progress, grace=grace)), as_json)


@cli.command("verify-index")
@_only
@_as_json
@click.option("--wait", type=click.FloatRange(0), default=30.0, help="Time for the worker to catch up, s.")
@examples("docsearch-api verify-index", "docsearch-api verify-index --tenant acme --wait 0")
def verify_index(tenant: str | None, as_json: bool, wait: float) -> None:
    """Compare the index with the database: counts and checksums per tenant. Nothing is changed."""
    # Its client of OpenSearch takes half a second to import.
    from app import upkeep  # noqa: PLC0415

    _compared(_administrate(lambda its: upkeep.verify(its, tenant, wait=wait)), as_json)


def _compared(found: Sequence[Comparison], as_json: bool) -> None:
    if as_json:
        _print_json([{**asdict(one), "equal": one.equal} for one in found])
    else:
        head = ("tenant", "index", "documents", "checksum", "in database", "checksum", "")
        rows = [
            (
                one.tenant,
                one.level,
                f"{one.documents:,}",
                one.index_checksum,
                f"{one.stored:,}",
                one.database_checksum,
                ("equal" if one.equal else f"DIFFERS: {one.differences}")
                + (f", {one.refused:,} that no index takes" if one.refused else ""),
            )
            for one in found
        ]
        _print_table(head, rows, right=(2, 4))
    if not all(one.equal for one in found):
        sys.exit(3)


@cli.group("erasures", cls=Group)
def erasures() -> None:
    """Erase users (GDPR, article 17), and keep a ledger so that no restore brings them back.

    The ledger names nobody: it holds keyed hashes (API_KEY_PEPPER). Keep it outside of the database and its backups,
    where it is only added to, such as a bucket with versions and a lock.
    """


@erasures.command("create")
@_tenant
@click.option("--user-id", required=True, help="What metadata.user_id of the documents holds.")
@examples("docsearch-api erasures create --tenant acme --user-id u-4711")
def erase_user(tenant: str, user_id: str) -> None:
    """Erase all documents of a user, with their versions. The worker does it; the task says when nothing is left."""
    asked = _administrate(lambda settings: compliance.erase_user(settings, tenant, user_id))
    click.echo(f"Erasure {asked.erasure_id}: {asked.documents:,} documents, task {asked.task_id}.")


_ledger = click.argument("ledger")


@erasures.command("export")
@_ledger
@examples("docsearch-api erasures export erasures.ndjson", "docsearch-api erasures export s3://BUCKET/erasures")
def export_erasures(ledger: str) -> None:
    """Add to the LEDGER, a file or s3://BUCKET/PREFIX, what it lacks, and make it if there is none.

    A worker with DOCSEARCH_ERASURE_LEDGER does it itself, before it erases anything.
    """
    click.echo(f"Added {_administrate(lambda settings: compliance.export(settings, ledger)):,} erasures to {ledger}.")


@erasures.command("replay")
@_ledger
@examples("docsearch-api erasures replay erasures.ndjson", "docsearch-api erasures replay s3://BUCKET/erasures")
def replay_erasures(ledger: str) -> None:
    """Erase again, in a restored database, all that the LEDGER has and the database does not know of.

    Run it before anything is served, and rebuild-index behind it. It returns when nothing is left; if it is
    interrupted, run it again. With DOCSEARCH_ERASURE_LEDGER nothing is served until it is done.
    """

    def tell(text: str) -> None:
        click.echo(text)

    count = _administrate(lambda settings: compliance.replay(settings, ledger, tell))
    click.echo(f"Replayed {count:,} erasures.")


@cli.group("audit", cls=Group)
def audit_trail() -> None:
    """Go through the audit trail."""


@audit_trail.command("verify")
@click.option("--tenant", help="Only this one; by default all.")
@click.option("--heads", type=click.Path(dir_okay=False, path_type=Path), help="File of heads to compare with.")
@click.option("--keep", is_flag=True, help="Add the heads that were found to the file, and make it if there is none.")
@examples(
    "docsearch-api audit verify",
    "docsearch-api audit verify --tenant acme",
    "docsearch-api audit verify --heads heads.ndjson --keep",
)
def verify_audit(tenant: str | None, heads: Path | None, keep: bool) -> None:
    """Check that no row of the trail was altered, deleted, moved or put in.

    A cut at its end shows only against heads that were kept before, in a file outside of the database.
    """
    if keep and not heads:
        raise click.UsageError("--keep needs --heads FILE")

    async def run(settings: Settings) -> list[compliance.Trail]:
        known = heads if heads and (heads.exists() or not keep) else None
        found = await compliance.verify(settings, tenant, known)
        if heads and keep:
            await compliance.keep_heads(settings, heads, found)
        return found

    broken = False
    for one in _administrate(run):
        its = one.verdict
        broken |= its.broken_at is not None
        state = "whole" if its.broken_at is None else f"BROKEN at row {its.broken_at:,}"
        against = f", {one.heads:,} heads" if heads else ""
        click.echo(f"{one.tenant}: {its.rows:,} rows{against}, {its.head[:16]} {state}")
    if broken:
        sys.exit(3)


@tenants.command("place")
@_only
@click.option(
    "--tier", type=click.Choice([one.value for one in Tier]), help="Where the tenant belongs, whatever its size is."
)
@click.option("--dry-run", is_flag=True, help="Say who would move, and move nobody.")
@_as_json
@_grace
@examples(
    "docsearch-api tenants place --dry-run",
    "docsearch-api tenants place",
    "docsearch-api tenants place --tenant acme --tier medium",
)
def place_tenants(tenant: str | None, tier: str | None, dry_run: bool, as_json: bool, grace: float) -> None:
    """Move tenants that have outgrown their tier, or its shards, or left most of it empty.

    Small ones share an index, larger ones have their own. Searches and writes go on meanwhile. A move that was
    interrupted is finished first.
    """
    if tier and not tenant:
        raise click.UsageError("--tier is of one tenant: give --tenant, too")
    from app import upkeep  # noqa: PLC0415

    found = _administrate(
        lambda its: upkeep.place(
            its, tenant, Tier(tier) if tier else None, dry_run=dry_run, tell=_progress, grace=grace
        )
    )
    if as_json:
        _print_json([{**asdict(one), "moves": one.moves} for one in found])
        return
    did = "to move" if dry_run else "moved"
    rows = [
        (
            one.tenant,
            f"{one.documents:,}",
            f"{one.size_bytes / GIB:.2f}",
            f"{one.tier} {one.primaries}",
            f"{one.next_tier} {one.next_primaries}",
            did if one.moves else "",
        )
        for one in found
    ]
    _print_table(("tenant", "documents", "GiB", "is", "belongs", ""), rows, right=(1, 2))


def _progress(text: str) -> None:
    click.echo(text, err=True)


def _print_json(found: Sequence[Any]) -> None:
    click.echo(json.dumps(found, indent=2))


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    every = [head, *rows]
    widths = [max(len(row[at]) for row in every) for at in range(len(head))]
    for row in every:
        cells = zip(row, widths, strict=True)
        texts = [cell.rjust(width) if at in right else cell.ljust(width) for at, (cell, width) in enumerate(cells)]
        click.echo("  ".join(texts).rstrip())


def main() -> None:
    """The command."""
    cli()


def _settings(port: int | None = None) -> Settings:
    settings = load() if port is None else load(port=port)
    configure_logs(settings)
    return settings


def _pod(port: int | None, role: str) -> Settings:
    """A pod of the platform: behind its load balancer, and logged in as its role."""
    settings = _settings(port)
    user = settings.database_user or f"docsearch_{role}"
    return settings.model_copy(update={"database_user": user, "trust_forwarded": True})


def _administrate(act: Callable[[Settings], Coroutine[Any, Any, _T]]) -> _T:
    settings = _settings()

    async def run() -> _T:
        async with process.database_of(settings) as its:
            return await act(its)

    return _run(run())


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


__all__ = ["cli", "main"]
