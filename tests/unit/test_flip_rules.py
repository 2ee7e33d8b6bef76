"""Two releases side by side as their user writes it: what arrives, and one sentence for each rule that is broken."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Mixing

from tests.unit.test_wish import blue, green, resolve, sentences, slots

RED = {"name": "red", "port": 9504}
BOTH = slots(blue(), green())


def test_rolling_shares_nothing() -> None:
    wish = resolve(preview={"header": "X-Preview", "value": "k3y"}, smoke=[{"path": "/"}]).wish
    assert (wish.strategy, wish.flips, wish.mixing, wish.smoke) == ("rolling", False, Mixing(), ())


def test_blue_green_has_a_preview_and_smoke_tests_and_no_weights() -> None:
    found = resolve(
        strategy="blue_green",
        preview={"header": "X-Preview", "cookie": "preview", "value": "k3y", "listen": "127.0.0.1:8081"},
        smoke=[{"path": "/login", "status": [200, 302], "body": "Sign in", "headers": {"Accept": "text/html"}}],
        keep_old=60,
        old="stay",
    )
    assert found.wish.flips and not found.wish.retire and found.rollout.keep_old == 60
    assert found.wish.mixing == Mixing((), "X-Preview", "preview", "k3y", "127.0.0.1:8081")
    assert found.wish.smoke == (Health(path="/login", statuses=(200, 302), body="Sign in", request_headers={"Accept": "text/html"}, timeout=10.0),)


def test_a_canary_has_its_weights_and_names_the_logs_that_nginx_would_leave_out() -> None:
    mixing = resolve(strategy="canary", canary=[1, 10], canary_sticky=True).wish.mixing
    assert (mixing.weights, mixing.sticky, mixing.access_logs) == ((1.0, 10.0), True, ("/var/log/nginx/access.log combined",))
    assert resolve(strategy="canary").wish.mixing.weights == (5.0, 20.0, 50.0)


def test_a_standby_takes_its_turn_like_the_other_slot() -> None:
    assert resolve(strategy="blue_green", slots=slots(blue(), green(backup=True))).wish.flips


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "canary with a single slot": (
        {"strategy": "canary", "slots": slots(blue())},
        "bluegreen_strategy is canary and app1 has 1 slot (blue); two are expected, one that serves and an idle one that takes over",
    ),
    "no idle slot": (
        {"strategy": "blue_green", "slots": slots(blue(), green(), RED)},
        "bluegreen_strategy is blue_green and app1 has 3 slots (blue, green, red)",
    ),
    "too many must serve": (
        {"strategy": "blue_green", "slots": BOTH, "min_serving": 2},
        "bluegreen_min_serving comes to 2, and with bluegreen_strategy blue_green",
    ),
    "unknown strategy": ({"strategy": "big_bang"}, "bluegreen_strategy is 'big_bang'; one of rolling, blue_green, canary, reload is expected"),
    "how long": ({"keep_old": -1}, "bluegreen_keep_old is -1; seconds from 0 to 604800 are expected."),
    "what becomes of it": ({"old": "burn"}, "bluegreen_old is 'burn'; one of stop, stay is expected"),
    "a header of nobody": ({"preview": {"header": "X Preview", "value": "k"}}, "bluegreen_preview: header is 'X Preview'; a header's name"),
    "a cookie of nobody": ({"preview": {"cookie": "pre-view", "value": "k"}}, "bluegreen_preview: cookie is 'pre-view'; a cookie's name of letters"),
    "no value": ({"preview": {"header": "X-Preview"}}, "bluegreen_preview: value is what testers must bring in the header or cookie"),
    "a value that nginx would read": ({"preview": {"header": "X-Preview", "value": 'a"; }'}}, "bluegreen_preview: value is what testers must bring"),
    "a value alone": ({"preview": {"value": "k3y"}}, "bluegreen_preview has a value, and neither a header nor a cookie that brings it."),
    "a port of nobody": ({"preview": {"listen": "127.0.0.1:99999"}}, "bluegreen_preview: listen is '127.0.0.1:99999'; a port or address:port"),
    "a port of somebody else": ({"server": False, "preview": {"listen": "8081"}}, "bluegreen_preview: listen goes with a server block of ours"),
    "a log switched off": ({"access_log": ["off"]}, "bluegreen_access_log has 'off'; what follows access_log in nginx, a path first, is expected."),
    "a log with more": ({"access_log": ["/var/log/x; root /"]}, "bluegreen_access_log has '/var/log/x; root /'"),
    "smoke without a path": ({"smoke": [{"path": "login"}]}, "bluegreen_smoke, entry 1: path is 'login'; a path such as /login is expected."),
    "smoke for ever": ({"smoke": [{"path": "/", "timeout": 0}]}, "bluegreen_smoke, entry 1: timeout is 0; seconds above 0, up to 300, are expected."),
    "smoke of no status": ({"smoke": [{"path": "/", "status": "fine"}]}, "bluegreen_smoke, entry 1: status is "),
}


@pytest.mark.parametrize(("given", "words"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said_in_one_sentence(given: dict[str, Any], words: str) -> None:
    told = sentences(**given)
    assert told[-1].startswith(words) and len(told) <= 2  # the rules of slots may have a word to say, too
