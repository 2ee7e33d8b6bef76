"""A host on which a service runs already, by hand: taken over without a failed request, and put back as it was if that fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _adopt, _nginx, _preflight, _site
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member

from tests.drivers.conftest import MakeShop
from tests.drivers.shop import APPS, WEB, Load, Shop, words
from tools.bed import free_ports, wait_until


@dataclass
class ByHand:
    """Somebody's programs on the ports of blue and green, behind somebody's nginx on ``port``."""

    shop: Shop
    port: int
    programs: Path
    server: Path

    @property
    def names(self) -> tuple[str, str]:
        return f"{self.shop.wish.service}web1", f"{self.shop.wish.service}web2"

    def pids(self) -> list[int]:
        return [self.shop.client.process(name).pid for name in self.names]

    def findings(self, role: str = "release") -> list[str]:
        return list(_preflight.check(replace(self.shop.wish, release="v1"), role, dry=False).findings)

    def adopts(self) -> None:
        self.shop.wish = replace(self.shop.wish, adopt=dict(zip(("blue", "green"), self.names, strict=True)))

    def includes(self) -> None:
        """What the preflight says: our location in the place of the line that passes requests on."""
        ours = _site.location_file(self.shop.wish, "http")
        self.server.write_text(self.server.read_text().replace("proxy_pass http://hand;", f"include {ours};"))
        os.kill(_nginx.master(self.shop.wish.nginx), signal.SIGHUP)
        wait_until(lambda: _nginx.observe(self.shop.wish).loaded, what="the reload")


@pytest.fixture
def by_hand(make_shop: MakeShop) -> Iterator[ByHand]:
    shop = make_shop(site={"enabled": False})
    (port,), wish = free_ports(1), shop.wish
    hand = ByHand(shop, port, Path(wish.supervisor.program_dir) / f"{wish.service}-hand.conf", Path(wish.nginx.conf_dir) / f"{wish.service}-hand.conf")
    sections = []
    for name, member in zip(hand.names, wish.members, strict=True):
        sections.append(f'[program:{name}]\ncommand={" ".join(WEB)}\ndirectory={APPS}\nstartsecs=0\nenvironment=PORT="{member.port}",BLUEGREEN_SLOT="{name}"\n')
    hand.programs.write_text("\n".join(sections))
    shop.client.reread()
    servers = " ".join(f"server 127.0.0.1:{member.port};" for member in wish.members)
    hand.server.write_text(f"upstream hand {{ {servers} }}\nserver {{\n  listen 127.0.0.1:{port};\n  location / {{\n    proxy_pass http://hand;\n  }}\n}}\n")
    try:
        for name in hand.names:
            shop.client.add(name)
        for member in wish.members:
            wait_until(lambda member=member: _preflight._sockets.listener(member.port, member.address, frozenset()).owner != "none", what="the old program")
        os.kill(_nginx.master(wish.nginx), signal.SIGHUP)
        yield hand
    finally:
        hand.server.unlink()
        os.kill(_nginx.master(wish.nginx), signal.SIGHUP)
        hand.programs.unlink()
        for name in hand.names:
            shop.client.stop(name)
            wait_until(lambda name=name: not shop.client.process(name).pid, 15, f"the end of {name}")
            shop.client.remove(name)
        shop.client.reread()


def test_the_preflight_says_whose_port_it_is_and_which_line_goes_past_us(by_hand: ByHand) -> None:
    told = by_hand.findings("supervisor_program")
    web1, web2 = by_hand.names
    for slot, name, text in zip(("blue", "green"), (web1, web2), told, strict=True):
        assert f", supervisor's program {name}. Take it over with bluegreen_adopt: {{{slot}: {name}}}, without a failed request; or free it, or" in text
    by_hand.adopts()
    assert by_hand.findings("supervisor_program") == []
    by_hand.shop.install()
    (told,) = by_hand.findings()
    ours = _site.location_file(by_hand.shop.wish, "http")
    assert f"put `include {ours};` in {by_hand.server}, line 5, in the place of `proxy_pass http://hand;`" in told
    by_hand.includes()
    assert by_hand.findings() == []
    by_hand.shop.wish = replace(by_hand.shop.wish, adopt={"blue": "nobody", "green": web2})
    assert any("bluegreen_adopt: supervisor has no program nobody for blue; it runs " in text for text in by_hand.findings())


def test_the_old_programs_go_on_serving_until_a_release_takes_over_and_come_back_when_it_fails(by_hand: ByHand) -> None:
    by_hand.adopts()
    shop = by_hand.shop
    shop.install()
    before = by_hand.pids()
    by_hand.includes()  # outside of the load: an idle connection of a client ends with the worker that a reload ends
    with Load(by_hand.port, clients=2) as load:
        assert by_hand.pids() == before and shop.releases() == {"blue": f"@{by_hand.names[0]}", "green": f"@{by_hand.names[1]}"}

        shop.wish = replace(shop.wish, boot_timeout=1.5)
        failed = shop.swap("v1", FAULT="broken")
        assert not failed.ok
        assert f"app1/green is back on release @{by_hand.names[1]} and serves; the others were not touched." in words(failed, shop)
        assert by_hand.pids()[0] == before[0] and by_hand.pids()[1] not in (0, before[1])
        assert shop.serving() == {"blue", "green"}
        assert not os.path.lexists(f"{shop.wish.root}/green/current"), "as before the run"

        shop.wish = replace(shop.wish, boot_timeout=15.0)
        done = shop.swap("v2")
        assert done.ok, words(done, shop)
        assert shop.releases() == {"blue": "v2", "green": "v2"} and by_hand.pids() == [0, 0]
        assert not shop.swap("v2").changed
    assert load.failed == []

    left = _adopt.leftovers(shop.wish, shop.client)
    assert len(left) == 2
    assert (
        f"delete the section [program:{by_hand.names[0]}] in {by_hand.programs}, run supervisorctl reread and supervisorctl update {by_hand.names[0]}"
        in left[0]
    )


def test_a_takeover_that_was_cut_off_goes_on_and_can_still_go_back(by_hand: ByHand) -> None:
    by_hand.adopts()
    shop = by_hand.shop
    shop.install()
    by_hand.includes()
    shop.wish = replace(shop.wish, boot_timeout=1.5)
    shop.stage("v1", FAULT="broken")
    shop.serve("blue")
    assert shop.do("green", "drain", "stop", "point", "start").failure is None
    failed = shop.swap("v1", FAULT="broken")
    assert not failed.ok
    assert shop.serving() == {"blue", "green"} and shop.releases()["green"] == f"@{by_hand.names[1]}", words(failed, shop)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("proxy_pass http://127.0.0.1:9502;", True),
        ("  proxy_pass http://localhost:9502/app/;", True),
        ("proxy_pass http://127.0.0.1:9999;", False),
        ("# proxy_pass http://127.0.0.1:9502;", False),
        ("proxy_pass http://$pool;", False),
        ("upstream a {\n server 127.0.0.1:9502 weight=2;\n server 127.0.0.1:1;\n}\nproxy_pass http://a;", True),
        ("upstream a { server 127.0.0.1:9502; }\nupstream b {\n server 127.0.0.1:1;\n}\nproxy_pass http://b;", False),
        ("proxy_pass http://a;\nupstream a {\n server 127.0.0.1:9502;\n}", True),
    ],
)
def test_the_line_that_passes_requests_on_is_found(text: str, found: bool) -> None:
    members = [Member("app1", "blue", {"http": 9502})]
    seen = _adopt.proxied(f"# configuration file /etc/nginx/a.conf:\n{text}\n# configuration file /ours:\n{text}", members, frozenset(["/ours"]))
    number = next(number for number, line in enumerate(text.splitlines(), 1) if "proxy_pass" in line)
    assert [(path, line) for path, line, _words in seen] == ([("/etc/nginx/a.conf", number)] if found else [])
