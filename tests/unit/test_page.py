"""The page of a run as text: names full of markup stay text, the axis has round ticks, and its parts agree with each other."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _page, _record
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._page import _lists, _picture, _traffic
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._page._window import Window, since
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.journals import BEGAN, names, release

MARKUP = "\"'></title></style></svg><script>window.hit = 1</script><img src=x onerror='window.hit = 2'>&lt;{{ 7 * 7 }}{% raw %}"
TAGS = (
    "html head meta title style body main header section article footer h1 h2 h3 p b span dl div dt dd ul li table thead tbody tr th td pre details summary "
    "svg defs pattern rect circle path desc text line g"
)


class Parsed(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def marked(value: Any) -> Any:
    """The same with markup in every text, names of releases, members and kinds of requests too; the journal's own words stay."""
    if isinstance(value, dict):
        own = ("kind", "when", "outcome", "step", "way")
        return {_name(name): item if name in own and isinstance(item, str) else marked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [marked(item) for item in value]
    return f"{value}{MARKUP}" if isinstance(value, str) else value


def _name(name: str) -> str:
    """Keys that are names: of members, of releases, of hosts."""
    return f"{name}{MARKUP}" if re.fullmatch(r"v\d|app\d+(/\w+)?|front|refused", name) else name


def whole() -> list[dict[str, Any]]:
    """A run with something of everything."""
    return release(6, 2, fails=3, hooks=True, failing=[(0.4, "refused", 3)])


def test_names_full_of_markup_are_shown_as_they_are_and_nothing_else() -> None:
    lines = [marked(line) for line in whole()]
    parsed = Parsed(_page.page(_record.record(lines)))
    assert parsed.tags <= set(TAGS.split())
    assert not [name for name in parsed.attributes if name.startswith("on") or name in ("src", "href", "srcdoc", "style", "action")]
    text = "".join(parsed.text)
    for name in (
        "ana on deploy1",
        "app1/green",
        "status 500",
        "KeyError: 'DATABASE_URL'",
        "told the chat",
        "connection refused by 127.0.0.1:8080",
        "v2",
        "front",
    ):
        assert f"{name}{MARKUP}" in text, name


def test_nothing_in_it_is_loaded_and_its_policy_allows_its_own_style_alone() -> None:
    page = _page.page(_record.record(whole()))
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert policy in Parsed(page).attributes["content"]
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert not re.search(r"https?:|@import|url\((?!\"#)", page)


def test_every_picture_has_a_title_and_a_description_and_refers_to_what_is_there() -> None:
    page = _page.page(_record.record(whole()))
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    referred = [name for words in re.findall(r'aria-labelledby="([^"]+)"', page) for name in words.split()]
    referred += re.findall(r'url\("#([^"]+)"\)', page)
    assert set(referred) <= set(ids)
    assert page.count('role="img"') == 3


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (20, ["0 s", "5 s", "10 s", "15 s", "20 s"]),
        (2400, ["0 s", "5:00", "10:00", "15:00", "20:00", "25:00", "30:00", "35:00", "40:00"]),
        (7200, ["0 s", "15:00", "30:00", "45:00", "1:00:00", "1:15:00", "1:30:00", "1:45:00", "2:00:00"]),
    ],
)
def test_ticks_are_at_round_times(seconds: float, words: list[str]) -> None:
    assert [tick.words for tick in Window(BEGAN, BEGAN + seconds, BEGAN).ticks()] == words


@given(st.floats(0.1, 1e7), st.floats(0, 1e6))
def test_ticks_are_few_and_inside(seconds: float, late: float) -> None:
    window = Window(BEGAN + late, BEGAN + late + seconds, BEGAN)
    ticks = window.ticks()
    assert len(ticks) <= 11
    assert all(0 <= tick.x <= 100 for tick in ticks)
    assert sum(tick.always for tick in ticks) <= 5


def test_a_run_that_waited_long_for_something_else_shows_the_part_in_which_something_happened() -> None:
    lines = release(2)
    late = [
        {**line, **{name: line[name] + 600 for name in ("at", "start") if name in line}} if line["kind"] not in ("run", "probe") else line for line in lines
    ]
    late[0]["at"] = BEGAN
    window = Window.of(_record.record([line for line in late if line["kind"] != "probe"]))
    assert not window.whole
    assert 600 < window.start - BEGAN < 605
    assert window.seconds < 20
    assert Window.of(_record.record(lines)).whole
    short = [{**line, "at": line["at"] - (20 if line["kind"] == "run" else 0)} for line in lines]
    assert Window.of(_record.record(short)).whole  # a short run is always shown as a whole


def test_labels_lack_what_all_hosts_share_and_the_middle_of_what_is_long() -> None:
    assert _picture.shortened(["web1.example.org/blue", "web2.example.org/blue"]) == ["web1/blue", "web2/blue"]
    assert _picture.shortened(["10.0.0.1/blue", "10.0.0.2/blue"]) == ["10.0.0.1/blue", "10.0.0.2/blue"]
    assert _picture.shortened(["a" * 30 + "/blue"]) == ["aaaaaaaa…aaaaaa/blue"]


@pytest.mark.parametrize("members", [1, 2, 9, 100, 400])
def test_labels_never_overlap_and_lanes_have_a_height_that_can_be_seen(members: int) -> None:
    record = _record.record(release(members, 10))
    drawn = _picture.picture(record, Window.of(record), _picture.colours(record))
    labelled = [row["y"] for row in drawn["rows"] if row["label"]]
    assert all(after - before >= 12.9 for before, after in itertools.pairwise(labelled))
    assert drawn["bar"] >= 3
    assert len(drawn["rows"]) == members
    assert 60 < drawn["height"] < 1700


def test_the_areas_of_requests_add_up_and_are_drawn_in_few_points() -> None:
    record = _record.record(release(60, 2, speed=20))
    drawn = _traffic.points(record["probe"], 240)
    assert 100 < len(drawn) <= 240
    assert sum(point.due for point in drawn) == record["probe"]["due"]
    table = _traffic.points(record["probe"], 30)
    assert len(table) <= 30
    assert sum(sum(point.by_release.values()) + point.misses for point in table) == record["probe"]["due"]


def test_each_release_keeps_its_colour_in_lanes_and_requests() -> None:
    record = _record.record(release(4))
    colour = _picture.colours(record)
    assert (colour["v1"], colour["v2"]) == ("old0", "new")
    picture = _picture.picture(record, Window.of(record), colour)
    served = {span["words"]: span["colour"] for row in picture["rows"] for span in row["spans"] if span["kind"] == "s-serving"}
    traffic = _traffic.traffic(record, Window.of(record), colour)
    assert traffic
    assert served == {layer["name"]: layer["kind"] for layer in traffic["layers"]} == {"v1": "r-old0", "v2": "r-new"}


def test_latencies_of_milliseconds_and_of_seconds_have_one_scale() -> None:
    record = _record.record(release(4, slow=2.0))
    drawn = _traffic.traffic(record, Window.of(record), _picture.colours(record))
    assert drawn
    scale = [words for words, _ in drawn["latency"]["scale"]]
    assert (scale[0], scale[-1]) == ("1 ms", "100 s")


def test_many_commands_of_one_moment_are_told_as_one_and_those_that_failed_each() -> None:
    record = _record.record(release(100, 10, hooks=True))
    told = [entry for entry in _lists.story(record) if entry["what"] == "hook before_stop"]
    assert [entry["who"] for entry in told] == ["100 times"]
    record["steps"][20] = {**next(step for step in record["steps"] if step["step"] == "before_stop"), "outcome": "failed"}
    assert "failed" in [entry["outcome"] for entry in _lists.story(record) if entry["what"] == "hook before_stop"]


def test_a_goodbye_is_told_with_how_many_left_and_who_was_not_told_is_a_warning() -> None:
    record = _record.record(release(4))
    drains = [step for step in record["steps"] if step["step"] == "drain"]
    first, second = (step["members"][0] for step in drains[:2])
    record["steps"] += [
        {**drains[0], "step": "goodbye", "members": [first], "detail": "USR2 to pid 7; 3 connections, 10 s to leave"},
        {**drains[1], "step": "goodbye", "members": [second], "outcome": "overtime", "detail": "POST /drain answers 404"},
    ]
    told = {entry["what"]: entry for entry in _lists.story(record) if entry["what"] in ("goodbye", "clients left", "not told")}
    assert (told["goodbye"]["who"], told["goodbye"]["detail"]) == (first, "USR2 to pid 7; 3 connections, 10 s to leave")
    assert (told["clients left"]["who"], told["clients left"]["outcome"]) == (first, "ok")
    assert (told["not told"]["who"], told["not told"]["outcome"]) == (second, "warn")


def test_what_each_of_many_hosts_did_is_one_entry() -> None:
    lines = release(2)
    stages = [{**lines[2], "host": f"app{number}", "outcome": "failed" if number == 7 else "ok"} for number in range(50)]
    told = [entry for entry in _lists.story(_record.record([*lines, *stages])) if entry["what"] == "stage"]
    assert sorted(entry["who"] for entry in told) == ["50 hosts", "app7"]


def test_requests_that_failed_alike_are_one_line() -> None:
    found = _lists.misses(_record.record(release(2, failing=[(0.3, "refused", 30), (0.6, "timeout", 1)])))
    assert (found["many"], found["told"]) == (31, 31)
    assert [(row["times"], row["class"]) for row in found["shown"]] == [("30", "refused"), ("1", "timeout")]
    assert re.fullmatch(r"[\d.]+ s – [\d.]+ s", found["shown"][0]["since"])


def test_the_release_that_most_members_had_has_the_colour_of_the_one_before() -> None:
    lines = release(6)
    looked = next(line for line in lines if line["kind"] == "members")
    looked["members"]["app1/green"]["release"] = "v0"
    assert _picture.colours(_record.record(lines)) == {"v1": "old0", "v0": "old1", "v2": "new", "": "none"}


def test_a_release_that_went_well_but_cost_requests_is_not_shown_as_one_without_loss() -> None:
    good, lossy = (_page.page(_record.record(release(2, failing=failing))) for failing in ([], [(0.4, "refused", 3)]))
    assert '<header class="good">' in good and "requests failed" not in good
    assert '<header class="open">' in lossy and "released, and requests failed" in lossy


def test_each_kind_of_requests_has_its_figures_and_a_probe_that_ended_early_says_so() -> None:
    lines = release(4, failing=[(0.4, "refused", 3)])
    probe = next(line for line in lines if line["kind"] == "probe")["result"]
    probe |= {"ended_by": "limit", "sockets": {"opened": 8, "announced": 4, "cut": 0, "slowest_back": 0.02}}
    record = _record.record(lines)
    assert [row[:4] for row in _lists.kinds(record)] == [["front", f"{probe['due']:,}", f"{probe['due'] - 3:,}", "3 refused"]]
    told = dict(_lists.facts(record))
    assert told["the probe ended early"] == "at its bluegreen_probe_limit"
    assert told["WebSockets"] == "8 opened, 4 closed as announced, 0 cut; slowest back after 20 ms"


def test_the_story_is_in_order_and_has_lock_migration_batches_and_probe() -> None:
    story = _lists.story(_record.record(release(4, hooks=True)))
    assert [entry["at"] for entry in story] == sorted(entry["at"] for entry in story)
    assert {"lock", "stage", "migrate", "swap", "finish", "probe", "batch 1 of 4"} <= {entry["what"] for entry in story}
    assert names(4)[0] in [entry["who"] for entry in story]


def test_times_are_said_as_people_say_them() -> None:
    assert [since(value) for value in (0, 0.42, 59, 61, 3605)] == ["0 s", "0.4 s", "59 s", "1:01", "1:00:05"]
    assert [_traffic.duration(value) for value in (0.0004, 0.0123, 1.5)] == ["0.4 ms", "12 ms", "1.5 s"]
