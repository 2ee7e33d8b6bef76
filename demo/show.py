"""The story: v1, v2 under load, v3 put back; then the same load under the ordinary script; then the bill."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tools.bed import Bed

from . import bill, releases
from .load import UPLOADS, Load, kinds, words
from .ordinary import OrdinaryBed, healthy, script, until_healthy
from .pages import Pages
from .play import Played, play
from .screen import Screen

B = TypeVar("B", bound=Bed)

DRAIN, BOOT = 6, 7  # seconds: what a WebSocket gets before it is closed, and what a release gets to become healthy
_WAITED_FOR = 6  # seconds that the ordinary script waits for v3 here
_RELEASE = "hotswap.bluegreen.release"


class _NoisyBed(Bed):
    log_level = "notice"  # nginx then tells of its reloads


class _NoisyOrdinaryBed(OrdinaryBed):
    log_level = "notice"


async def show(folder: Path, screen: Screen) -> int:
    """All of it; the exit status."""
    began = time.monotonic()
    pages = Pages()
    made = releases.build(folder / "releases")
    ours, members = await _ours(folder / "ours", made, screen, pages)
    naive = await _ordinary(folder / "ordinary", made, screen, pages)
    wrong = bill.verdict(ours, members, wanted="v2", broken=releases.BROKEN)
    report = {**ours, "naive": naive, "wrong": wrong, "seconds": round(time.monotonic() - began, 1)}
    screen.heading("The bill")
    for line in bill.table(ours, naive):
        screen.line(line)
    _say_examples(screen, "What failed under the ordinary script, for example:", naive)
    _say_examples(screen, "What failed in ours:", ours)
    screen.line()
    for path in (*pages.all(), pages.figures(report)):
        screen.line(f"Report: {path}")
    for sentence in wrong:
        screen.line(f"WRONG: {sentence}", "bad")
    if not wrong:
        screen.line(f"No request failed. ({report['seconds']:.0f} s)", "good")
    return 1 if wrong else 0


async def _ours(folder: Path, made: Mapping[str, Path], screen: Screen, pages: Pages) -> tuple[dict[str, Any], Mapping[str, Any]]:
    bed = _NoisyBed(
        folder,
        demo_python=sys.executable,
        bluegreen_command=["{{ demo_python }}", "shop.py"],
        bluegreen_drain_timeout=DRAIN,
        bluegreen_boot_timeout=BOOT,
        bluegreen_report_dir=str(pages.reports),
        bluegreen_probe=[{"name": "front", "rate": 20, "expect_body": '"greeting"'}],  # the release's own, beside the demo's load
        bluegreen_probe_release={"header": "X-Release"},
    )
    bed.variables["bluegreen_probe_url"] = bed.url

    async def release(name: str) -> Played:
        screen.line(f"$ ansible-playbook -i inventory {_RELEASE} -e bluegreen_release={name}", "heading", "   ")
        return await play(bed, screen, _RELEASE, release=name, source={"directory": str(made[name])})

    screen.heading("A host of its own: nginx, supervisord and the service `shop` on two slots, blue and green (standby)")
    async with _running(bed, screen):
        screen.line("$ ansible-playbook -i inventory hotswap.bluegreen.install", "heading", "   ")
        async with screen.pulse(lambda: "installing"):
            _must(await play(bed, screen, "hotswap.bluegreen.install"), "the installation")
        screen.heading("Release v1: the first, nobody is there yet")
        async with screen.pulse(lambda: "releasing v1"):
            _must(await release("v1"), "the release of v1")

        screen.heading("Load: the collection's probe. Each of its clients checks every answer and tries nothing twice")
        screen.text(
            ", ".join(f"{kind.connections} x {kind.name}" for kind in kinds(bed.port))
            + ". Requests are due on a fixed schedule, whether those before were answered or not; the WebSockets never leave by themselves."
        )
        reloads = _reloads(bed)
        async with Load(bed.port) as load:

            def under_load() -> str:
                return f"under load: {load.words()}"

            async with screen.pulse(under_load):
                await load.warm()
                screen.line(under_load(), indent="   ")
                screen.heading(f"Release v2, under load. The WebSockets hold their slot; they are closed after {DRAIN} s of draining")
                second = await release("v2")
                _must(second, "the release of v2")
                v3_came = time.time()
                screen.heading("Release v3, under load. It is broken: packed without its price list, so its health check answers 500")
                third = await release(releases.BROKEN)
                screen.line()
                screen.line(f"v3: ansible-playbook ended with status {third.status}; the slow uploads and the last requests end now", indent="   ")
                result = await load.finish()
        at_the_end = {"blue": await healthy(bed.blue), "green": await healthy(bed.green)}
        reloads = _reloads(bed) - reloads
        complaints = _complaints(bed)
    events = [*second.answer.get("events", ()), *third.answer.get("events", ())]
    report = bill.report(
        result,
        events,
        UPLOADS,
        reloads=reloads,
        swap_seconds=second.answer["seconds"],
        release_seconds=round(second.seconds, 2),
        failed_during=bill.failed_during(result, v3_came),
        put_back=_was_put_back(third),
        answers_at_the_end=at_the_end,
        nginx_complaints=complaints,
    )
    screen.line(words(result), "bad" if report["failed"] else "good", "   ")
    return report, third.answer.get("members", {})


async def _ordinary(folder: Path, made: Mapping[str, Path], screen: Screen, pages: Pages) -> dict[str, Any]:
    bed = _NoisyOrdinaryBed(folder, made, "v1")
    screen.heading("For contrast, the ordinary script: restart slot by slot, poll until 200; nginx with `backup`, no drain")
    screen.text(
        "nginx finds out by itself that a slot is gone, and takes it for failed for 10 s (its default). As above, v3 comes right after v2: "
        "then the script restarts the one slot that is left."
    )
    async with _running(bed, screen):
        async with screen.pulse(lambda: "the slots start"):
            await until_healthy(bed.blue)
            await until_healthy(bed.green)
        reloads, began = _reloads(bed), time.time()
        async with Load(bed.port) as load, screen.pulse(lambda: f"under load: {load.words()}"):
            await load.warm()
            screen.line("the same load; release v2:", indent="   ")
            seconds = await script(bed, screen, "v2")
            v3_came = time.time()
            screen.line("v2 is released; release v3, as before right afterwards:", indent="   ")
            with contextlib.suppress(TimeoutError):
                await script(bed, screen, releases.BROKEN, _WAITED_FOR)
            screen.line(f"v3 never answers 200, the script would wait for ever; broken off after {_WAITED_FOR} s", indent="   ")
            result = await load.finish()
        reloads = _reloads(bed) - reloads
    pages.ordinary(began, result)
    during = bill.failed_during(result, v3_came)
    report = bill.report(result, (), UPLOADS, reloads=reloads, swap_seconds=round(seconds, 3), failed_during=during)
    screen.line(words(result), "bad" if report["failed"] else "good", "   ")
    return report


@contextlib.asynccontextmanager
async def _running(bed: B, screen: Screen) -> AsyncIterator[B]:
    """The bed, started and ended without holding up the pulse; what was begun is completed before anything else is done."""

    async def wholly(work: Any, words: str) -> None:
        task = asyncio.ensure_future(asyncio.to_thread(work))
        async with screen.pulse(lambda: words):
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                await asyncio.wait([task])
                raise

    try:
        await wholly(bed.__enter__, "nginx and supervisord start")
        yield bed
    finally:
        await wholly(bed.stop, "nginx and supervisord end")


def _must(played: Played, what: str) -> None:
    if played.status:
        raise RuntimeError(f"{what} failed: ansible-playbook ended with status {played.status}, see its lines above")


def _was_put_back(third: Played) -> bool:
    """It failed at its check, and the same member was enabled again afterwards."""
    events = third.answer.get("events", ())
    failed = [(number, event["member"]) for number, event in enumerate(events) if (event["step"], event["outcome"]) == ("check", "failed")]
    if third.status == 0 or len(failed) != 1:
        return False
    number, member = failed[0]
    return any((event["step"], event["member"], event["outcome"]) == ("enable", member, "ok") for event in events[number:])


def _reloads(bed: Bed) -> int:
    """How often nginx was told to reload, by its own log."""
    return (bed.path / "nginx-error.log").read_text(errors="replace").count(", reconfiguring")


def _complaints(bed: Bed) -> list[str]:
    """What nginx's log holds of warnings and errors, the last of them."""
    levels = ("[warn]", "[error]", "[crit]", "[alert]", "[emerg]")
    lines = (bed.path / "nginx-error.log").read_text(errors="replace").splitlines()
    return [line for line in lines if any(level in line for level in levels)][-20:]


def _say_examples(screen: Screen, heading: str, side: Mapping[str, Any]) -> None:
    if side["failures"]:
        screen.line()
        screen.line(heading)
        for failure in bill.examples(side):
            screen.line(f"{failure['at']:5.1f} s  {failure['kind']}: {failure['class']}, {failure['detail']}", indent="  ")
