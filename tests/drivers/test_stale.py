"""Why a member that looks well may answer with old code: each thing that is worth a look, made and seen on a real slot."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _info, _observe_slot, _stale
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import SlotState

from tests.drivers.shop import Shop, altered, running
from tools.bed import wait_until


def hints(shop: Shop, user: str = "") -> list[str]:
    found = _info.look(altered(shop.wish, program={"user": user}), keeps_lease=False)["hints"]
    assert found["green"] == [], "nothing was done to it"
    return list(found["blue"])


def test_a_member_in_order_has_nothing_that_is_worth_a_look_and_each_other_thing_has_its_sentence(shop: Shop) -> None:
    shop.released("v1")
    blue = Path(shop.wish.root) / "blue"
    assert hints(shop) == hints(shop, "nobody") == []

    secret = blue / "v1" / "config" / "app.py"
    secret.parent.mkdir()
    secret.write_text("")
    secret.chmod(0o600)
    assert hints(shop, "nobody") == [f"has a file that nobody may not read: config/app.py ({_stale._owner(secret.stat())} 0600)"]
    assert hints(shop) == [], "without bluegreen_user it is the user of supervisord, who wrote it"
    secret.parent.chmod(0o700)
    assert "nobody may not read: config (" in hints(shop, "nobody")[0], "nor what is below a directory that cannot be entered"
    secret.parent.chmod(0o755)
    secret.unlink()

    program = _observe_slot.program_path(shop.wish, "blue")
    before = os.stat(program).st_mtime
    os.utime(program, (time.time() + 60,) * 2)
    told = hints(shop)
    os.utime(program, (before, before))
    assert len(told) == 1 and told[0].startswith("has a program file that was changed at ")
    assert hints(shop) == []


def test_a_process_that_works_elsewhere_or_in_a_directory_that_was_removed_is_named(shop: Shop, tmp_path: Path) -> None:
    place, gone = Path(shop.wish.root) / "blue", tmp_path / "v0"
    gone.mkdir()
    with running("/bin/sleep", "60", cwd=gone) as process:
        state = SlotState("RUNNING", pid=process.pid)
        elsewhere = _stale.hints(shop.wish, shop.wish.member("blue"), state)
        gone.rmdir()
        wait_until(lambda: "removed" in _stale._directory(process.pid, str(place)), what="the directory's end")
    assert elsewhere == [f"works in {gone}, not in its release: does its command go there, or name files there?"]


def test_of_a_slot_without_a_process_nothing_is_said(shop: Shop) -> None:
    assert _stale.hints(shop.wish, shop.wish.member("blue"), SlotState("STOPPED")) == []
