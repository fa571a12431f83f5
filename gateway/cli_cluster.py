"""`cairn rebuild` and `cairn fsck`: the index made anew from the nodes, and everything compared with everything."""

import json
import logging
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli_options import CommandRefused, Data, Json, running_command
from gateway.settings import load_one

if TYPE_CHECKING:
    from gateway.fsck.findings import Finding, Report
    from gateway.journal.rebuild import Plan

_PERCENT = re.compile(r"(.*): (\d+) %")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("rebuild")(rebuild)
    app.command("fsck")(fsck)


def rebuild(
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    data: Data = None,
) -> None:
    """Throw the index away and make it anew from snapshots and journal on the storage nodes.

    An index that was lost comes back by itself; this is for one that is there and cannot be trusted. Nothing that a
    client was told is lost. Gateways may run: they answer 503 until the index is open again.
    """
    import asyncio

    with running_command():
        _log_warnings_only()
        asyncio.run(_rebuild(data, yes=yes))


async def _rebuild(data: str | None, *, yes: bool) -> None:
    from gateway.journal.failures import JournalBlocked
    from gateway.journal.rebuild import RebuildRefused, open_rebuilder
    from gateway.user_commands import find_index

    async with open_rebuilder(find_index(os.environ, data)) as rebuilder:
        try:
            plan = await rebuilder.plan()
            if plan is None:
                typer.echo("the index is not open: it is being rebuilt, or can be")
            else:
                typer.echo(_described(plan))
                if not yes and not typer.confirm("Throw the present index away?"):
                    raise CommandRefused("nothing was done")
            with _progress() as say:
                await (rebuilder.recover(say=say) if plan is None else rebuilder.run(say=say))
        except (RebuildRefused, JournalBlocked) as error:
            raise CommandRefused(str(error)) from error
    typer.echo("the index is open")


def _described(plan: "Plan") -> str:
    entries = f"{plan.entries} entries of the journal"
    if plan.snapshot is None:
        return f"the index up to change {plan.watermark} will be made of {entries}; there is no snapshot"
    size_mib = plan.snapshot.size_bytes / 2**20
    return f"the index up to change {plan.watermark} will be made of a snapshot of {size_mib:.1f} MiB and {entries}"


class _progress:  # noqa: N801
    """A bar with the time left on a terminal, lines elsewhere: `with _progress() as say: say("reading: 12 %")`."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._console = Console(stderr=True)
        self._bar = Progress(*columns, console=self._console)
        self._task = self._bar.add_task("", total=100)
        self._last = ""

    def __enter__(self) -> Callable[[str], None]:
        if self._console.is_terminal:
            self._bar.start()
        return self._say

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _say(self, sentence: str) -> None:
        match = _PERCENT.fullmatch(sentence)
        what, percent = (match[1], int(match[2])) if match else (sentence, None)
        if what != self._last:
            self._last = what
            self._bar.reset(self._task, description=what, total=None if percent is None else 100)
            if not self._console.is_terminal:
                print(what, file=sys.stderr)
        if percent is not None:
            self._bar.update(self._task, completed=percent)


def fsck(
    repair: Annotated[bool, typer.Option("--repair", help="mend what can be explained, set aside what cannot")] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Compare the journal, the index and what the storage nodes hold; print one line for each difference.

    The cluster may be in use. Ends with status 1 where there are differences, repaired or not.
    """
    import asyncio

    with running_command():
        _log_warnings_only()
        report, done = asyncio.run(_fsck(data, repair=repair, as_json=as_json))
    if as_json:
        typer.echo(json.dumps(_as_json(report, done)))
    else:
        for sentence in done:
            typer.echo(f"repair: {sentence}")
        typer.echo(_totals(report))
    if not report.is_clean:
        raise typer.Exit(1)


async def _fsck(data: str | None, *, repair: bool, as_json: bool) -> tuple["Report", list[str]]:
    from gateway.fsck.findings import Report
    from gateway.fsck.mending import mend
    from gateway.fsck.run import check_all
    from gateway.fsck.surroundings import Surroundings
    from gateway.index.errors import CorruptRecord, IndexUnavailable, UnsupportedFormat
    from gateway.index.journal_feed import JournalFeed
    from gateway.journal.opening import open_index
    from gateway.user_commands import find_index
    from gateway.workers.snapshots import snapshot_keeper

    report = Report((lambda _: None) if as_json else _print_finding)
    settings = find_index(os.environ, data)
    done: list[str] = []
    async with open_index(settings) as opened:
        try:
            await opened.journal.wait_until_open(settings.journal_timeout_s)
        except IndexUnavailable as error:
            raise CommandRefused(f"{error}; cairn rebuild shows how it gets on") from error
        around = Surroundings(
            raw=opened.raw,
            feed=JournalFeed(opened.raw),
            index=opened.index,
            client=opened.client,
            membership=opened.membership,
        )
        try:
            # Twice the grace: what is older was not just about to be swept.
            await check_all(around, report, grace_ms=int(2000 * settings.orphan_grace_s), say=_say_to_terminal)
            if repair and not report.is_clean:
                await mend(around, report, snapshot_keeper(settings, opened), done.append)
        except (CorruptRecord, UnsupportedFormat, OSError) as error:
            raise CommandRefused(str(error)) from error
    return report, done


def _log_warnings_only() -> None:
    """What a person at a terminal is told is told by the command."""
    if not load_one("debug", os.environ):
        logging.getLogger("gateway").setLevel(logging.WARNING)


def _print_finding(finding: "Finding") -> None:
    typer.echo(f"{finding.kind.value}: {finding.text}")


def _say_to_terminal(sentence: str) -> None:
    if sys.stderr.isatty():
        print(f"{sentence} …", file=sys.stderr)


def _totals(report: "Report") -> str:
    looked_at = ", ".join(f"{count} {what}" for what, count in sorted(report.looked_at.items()))
    if report.is_clean:
        return f"clean: compared {looked_at}"
    found = ", ".join(
        f"{count} {kind.value}" for kind, count in sorted(report.counts.items(), key=lambda one: one[0].value)
    )
    return f"{sum(report.counts.values())} differences: {found}; compared {looked_at}"


def _as_json(report: "Report", done: list[str]) -> dict[str, object]:
    return {
        "clean": report.is_clean,
        "counts": {kind.value: count for kind, count in report.counts.items()},
        "compared": dict(report.looked_at),
        "findings": [
            {"kind": one.kind.value, "text": one.text, "node": one.node_id or None, "blob": one.blob_id or None}
            for one in report.findings
        ],
        "repair": done,
    }
