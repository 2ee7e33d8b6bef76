"""nginx as a balancer: what is declared, what a switch does and refuses, and what a broken configuration leaves."""

from __future__ import annotations

import base64
import grp
import os
import pwd
import signal
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _declare, _files, _install, _nginx, _pools, _site
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member

from tests.drivers.conftest import MakeShop
from tests.drivers.shop import Shop, altered, ask, free_ports, snapshot, web
from tools.bed import Bed, wait_until


def port_of(shop: Shop, slot: str) -> int:
    return shop.wish.member(slot).port


def files_of(shop: Shop) -> dict[str, tuple[int, bytes]]:
    """All of nginx's that is ours, except lock files and the generations' empty logs."""
    found = snapshot(shop.wish.nginx.conf_dir, _site.state_dir(shop.wish))
    return {path: content for path, content in found.items() if "/generations/" not in path and not path.endswith(".lock")}


def contents(shop: Shop) -> dict[str, bytes]:
    return {path: content for path, (_time, content) in files_of(shop).items()}


# Declare


def test_declaring_on_a_fresh_host_makes_pools_a_link_and_a_server(shop: Shop) -> None:
    done = _declare.declare(shop.wish)
    assert done.changed and done.reloaded
    state = _nginx.observe(shop.wish)
    assert state.loaded and not state.problem
    assert state.serving == ("app1/blue", "app1/green")
    assert set(state.pools) == {_pools.name(pool) for pool in (["app1/blue", "app1/green"], ["app1/blue"], ["app1/green"])}
    with web(port_of(shop, "blue")):
        assert shop.ask().slot == "blue"


def test_declaring_again_changes_nothing_and_does_not_reload(shop: Shop) -> None:
    _declare.declare(shop.wish)
    workers, files = shop.workers(), files_of(shop)
    done = _declare.declare(shop.wish)
    assert not done.changed and not done.reloaded
    assert shop.workers() == workers
    assert files_of(shop) == files


def test_the_log_that_proves_a_generation_stays_empty_whatever_clients_ask_for(shop: Shop) -> None:
    _declare.declare(shop.wish)
    (log,) = Path(_site.generation_file(shop.wish, "")).iterdir()
    with web(port_of(shop, "blue")):
        assert shop.ask("/", b"body").status == 200
        assert shop.ask(f"/bluegreen-{shop.wish.service}-body-first").status == 204
    assert _nginx.observe(shop.wish).loaded
    assert log.stat().st_size == 0


def test_a_pool_that_a_swap_declared_stays_when_the_role_runs_again(shop: Shop) -> None:
    _declare.declare(shop.wish)
    done = _declare.declare(shop.wish, (frozenset(),))
    assert done.reloaded
    workers = shop.workers()
    assert not _declare.declare(shop.wish).changed
    assert shop.workers() == workers
    assert _pools.name(()) in _nginx.observe(shop.wish).pools


def test_one_declaration_at_a_time_on_a_host(shop: Shop) -> None:
    """Two at once would judge each other's half-written files; here both end, one after the other, and both are served."""
    other = altered(shop.wish, site={"extra": "location = /which { return 200 two; }"})
    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(_declare.declare, wish) for wish in (shop.wish, other, shop.wish, other)]:
            assert job.result(60).running
    assert not _nginx.test(shop.wish.nginx)
    assert _nginx.observe(shop.wish).loaded


def test_once_declared_no_request_meets_the_configuration_of_before(make_shop: MakeShop) -> None:
    """The old workers answer for 100 ms after a reload: it is not over before they take nothing new."""
    shop = make_shop(site={"location": "/app/"})
    for number in range(4):
        _declare.declare(altered(shop.wish, site={"extra": f"location = /which {{ return 200 {number}; }}"}))
        assert {shop.ask("/which").text for _ in range(20)} == {str(number)}


def test_a_dry_declaration_shows_the_files_and_writes_none(shop: Shop) -> None:
    before = contents(shop)
    done = _install.balancer(shop.wish, dry=True)
    assert done.changed and len(done.diffs) == 3, "the file for http, one location, the link"
    assert contents(shop) == before
    assert not Path(_site.state_dir(shop.wish)).exists()


def test_declaring_while_nginx_does_not_run_puts_the_files_in_place_for_its_start(own_bed: Bed, make_shop: MakeShop) -> None:
    shop = make_shop(own_bed)
    os.kill(own_bed.nginx_pid, signal.SIGTERM)
    wait_until(lambda: not own_bed.nginx_pid)
    done = _declare.declare(shop.wish)
    assert done.changed and not done.running and not done.reloaded
    assert "nginx does not run" in _nginx.observe(shop.wish).problem
    own_bed.start_nginx()
    wait_until(lambda: _nginx.observe(shop.wish).loaded, what="nginx with our files")


# Switch


def test_a_switch_moves_the_next_request_with_no_reload(shop: Shop) -> None:
    with web(port_of(shop, "blue")), web(port_of(shop, "green"), "green"):
        _declare.declare(shop.wish)
        workers = shop.workers()
        for slot in ("green", "blue") * 5:
            assert shop.serve(slot)
            assert shop.ask().slot == slot
        assert not shop.serve("blue"), "a switch to what is served already is none"
        assert shop.workers() == workers


def test_a_switch_to_a_pool_that_is_not_declared_is_refused(make_shop: MakeShop) -> None:
    shop = make_shop(slots=4)
    _declare.declare(shop.wish)
    with pytest.raises(_nginx.Undeclared, match="app1/blue, app1/green"):
        shop.serve("blue", "green")
    assert shop.serving() == {"blue", "green", "red", "grey"}


def test_a_switch_below_the_floor_is_refused(make_shop: MakeShop) -> None:
    shop = make_shop(slots=3, min_serving=3)
    _declare.declare(shop.wish)
    with pytest.raises(Refusal, match=r"refused to take app1/red out: 2 would serve, bluegreen_min_serving is 3"):
        shop.serve("blue", "green")
    assert shop.serving() == {"blue", "green", "red"}


def test_a_switch_to_a_pool_that_the_workers_do_not_have_is_refused(shop: Shop) -> None:
    _declare.declare(shop.wish)
    workers = shop.workers()
    for path, text in _site.render(altered(shop.wish, site={"body_size": "1m"}), _nginx.declared(shop.wish)).items():
        _files.write(path, text, 0o644)  # written, as by somebody else, and not loaded
    with pytest.raises(_nginx.Undeclared, match="app1/green"):
        shop.serve("green")
    assert shop.serving() == {"blue", "green"}
    done = _declare.declare(shop.wish)
    assert done.reloaded and shop.workers() != workers
    assert shop.serve("green")


def test_a_switch_before_the_installation_says_what_to_run(shop: Shop) -> None:
    with pytest.raises(Refusal, match=r"hotswap\.bluegreen\.install"):
        shop.serve("green")


def test_only_workers_that_loaded_the_files_count_as_serving_them(shop: Shop) -> None:
    _declare.declare(shop.wish)
    files = _site.render(altered(shop.wish, site={"read_timeout": 61}), _nginx.declared(shop.wish))
    new, old = _site.generation(files), _nginx.observe(shop.wish)
    assert old.loaded
    for path, text in files.items():
        _files.write(path, text, 0o644)
    assert not _nginx.loaded(shop.wish, new)
    assert not _nginx.observe(shop.wish).loaded
    os.kill(shop.bed.nginx_pid, signal.SIGHUP)
    wait_until(lambda: _nginx.loaded(shop.wish, new), what="the new generation")
    assert _nginx.observe(shop.wish).loaded


# What is broken


def test_a_configuration_that_was_broken_before_is_refused_and_nothing_is_changed(own_bed: Bed, make_shop: MakeShop) -> None:
    shop = make_shop(own_bed)
    (own_bed.path / "conf.d" / "other.conf").write_text("server { listen nonsense nonsense; }\n")
    before = contents(shop)
    with pytest.raises(Refusal, match=r"was broken before we came, nothing was changed: .*other\.conf"):
        _declare.declare(shop.wish)
    assert contents(shop) == before
    assert not Path(_site.state_dir(shop.wish)).exists()


def test_when_our_configuration_is_refused_by_nginx_the_old_one_is_back_byte_for_byte_and_serves(shop: Shop) -> None:
    with web(port_of(shop, "blue")):
        _declare.declare(shop.wish)
        before, workers = contents(shop), shop.workers()
        with pytest.raises(Refusal, match=r"refuses the new configuration, the old one was put back: .*nonsense"):
            _declare.declare(altered(shop.wish, site={"extra": "nonsense on;"}))
        assert contents(shop) == before
        assert shop.workers() == workers
        assert _nginx.observe(shop.wish).loaded
        assert shop.ask().slot == "blue"


def test_a_first_configuration_that_nginx_refuses_leaves_nothing(shop: Shop) -> None:
    before = contents(shop)
    with pytest.raises(Refusal, match="refuses the new configuration"):
        _declare.declare(altered(shop.wish, site={"extra": "nonsense on;"}))
    assert contents(shop) == before
    assert not Path(_site.state_dir(shop.wish)).exists()


def test_a_lost_link_is_made_again(shop: Shop) -> None:
    _declare.declare(shop.wish)
    Path(_nginx.active_link(shop.wish)).unlink()
    assert _declare.declare(shop.wish).changed
    assert shop.serving() == {"blue", "green"}


def test_when_the_link_was_lost_a_refused_configuration_takes_nothing_else_with_it(own_bed: Bed, make_shop: MakeShop) -> None:
    shop = make_shop(own_bed)
    _declare.declare(shop.wish)
    Path(_nginx.active_link(shop.wish)).unlink()
    before = contents(shop)
    with pytest.raises(Refusal, match="refuses the new configuration"):
        _declare.declare(altered(shop.wish, site={"extra": "nonsense on;"}))
    assert {path for path in before if path not in contents(shop)} == set()


def test_when_a_reload_says_yes_and_loads_nothing_the_old_one_is_back_and_serves(own_bed: Bed, make_shop: MakeShop) -> None:
    # A port in use: nginx -t and the reload are content, the master tries for 2.5 s and goes on with the old.
    shop = make_shop(own_bed)
    (taken,) = free_ports(1)
    with web(port_of(shop, "blue")), socket.create_server(("127.0.0.1", taken)):
        _declare.declare(shop.wish)
        before, workers = contents(shop), shop.workers()
        seconds = iter(range(10**9))
        with pytest.raises(Refusal, match=r"did not bring the new configuration into service .* bind\(\) to 127.0.0.1:\d+ failed"):
            # A clock that goes on by a second for 30 looks: the wait is over after 3 s.
            _declare.declare(altered(shop.wish, site={"listen": {"http": f"127.0.0.1:{taken}"}}), clock=lambda: next(seconds) / 30)
        assert contents(shop) == before
        assert shop.workers() == workers
        assert _nginx.observe(shop.wish).loaded
        assert shop.serve("green") and shop.serve("blue")
        assert shop.ask().slot == "blue"


def test_an_nginx_that_is_not_there_is_said_so(shop: Shop) -> None:
    with pytest.raises(Refusal, match=r"the command /nowhere/nginx is not there\. Install nginx"):
        _declare.declare(altered(shop.wish, nginx={"command": ("/nowhere/nginx",)}))


def test_a_conf_dir_that_nginx_does_not_include_is_said_so(own_bed: Bed, make_shop: MakeShop) -> None:
    shop = make_shop(own_bed)
    (own_bed.path / "elsewhere").mkdir()
    seconds = iter(range(10**9))
    with pytest.raises(Refusal, match="included in the http block"):
        _declare.declare(altered(shop.wish, nginx={"conf_dir": f"{own_bed.path}/elsewhere"}), clock=lambda: next(seconds) / 5)
    assert [path.name for path in (own_bed.path / "elsewhere").iterdir()] == [".bluegreen.lock"]


# A drain is a drain


def test_installing_again_never_moves_the_link(shop: Shop) -> None:
    _declare.declare(shop.wish)
    shop.serve("green")
    link = _files.target(_nginx.active_link(shop.wish))
    assert not _install.balancer(shop.wish).changed
    assert _install.balancer(altered(shop.wish, site={"body_size": "9m"})).reloaded
    assert _files.target(_nginx.active_link(shop.wish)) == link
    assert shop.serving() == {"green"}


def test_a_new_member_does_not_undo_a_drain(shop: Shop) -> None:
    _declare.declare(shop.wish)
    shop.serve("green")
    more = (*shop.wish.members, Member("app1", "red", {"http": free_ports(1)[0]}))
    shop.wish = replace(shop.wish, members=more, pool=more)
    assert _declare.declare(shop.wish).reloaded
    assert shop.serving() == {"green"}
    assert shop.serve("blue", "red"), "the pools of the new set are there"


def test_a_removed_member_is_taken_out_of_the_pool_in_use_and_a_drained_one_stays_out(make_shop: MakeShop) -> None:
    shop = make_shop(slots=3)
    _declare.declare(shop.wish)
    shop.serve("green", "red")
    fewer = tuple(member for member in shop.wish.members if member.slot != "red")
    shop.wish = replace(shop.wish, members=fewer, pool=fewer)
    assert _declare.declare(shop.wish).changed
    assert shop.serving() == {"green"}
    assert not _declare.declare(shop.wish).changed


def test_a_serving_member_whose_port_changes_is_refused(shop: Shop) -> None:
    _declare.declare(shop.wish)
    before = contents(shop)
    moved = (replace(shop.wish.members[0], ports={"http": free_ports(1)[0]}), shop.wish.members[1])
    with pytest.raises(Refusal, match="give the new ports to a slot of another name"):
        _declare.declare(replace(shop.wish, members=moved, pool=moved))
    assert contents(shop) == before


# What a request looks like behind it


def test_host_and_forwarded_headers_arrive_and_cookie_paths_are_changed(make_shop: MakeShop) -> None:
    shop = make_shop(site={"cookie_path": "/ /shop/"})
    with web(port_of(shop, "blue")):
        _declare.declare(shop.wish)
        reply = shop.ask("/where?a=1", Host="www.example.org:8080", **{"X-Forwarded-For": "192.0.2.7"})
    headers = reply.body["headers"]
    assert reply.body["path"] == "/where?a=1"
    assert headers["Host"] == headers["X-Forwarded-Host"] == "www.example.org:8080"
    assert headers["X-Real-IP"] == "127.0.0.1"
    assert headers["X-Forwarded-For"] == "192.0.2.7, 127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers["X-Forwarded-Port"] == str(shop.port)
    assert reply.headers["Set-Cookie"].endswith("Path=/shop/")


def test_a_websocket_is_upgraded_and_survives_a_switch(shop: Shop) -> None:
    with web(port_of(shop, "blue")), web(port_of(shop, "green"), "green"):
        _declare.declare(shop.wish)
        with socket.create_connection(("127.0.0.1", shop.port), timeout=10) as client:
            key = base64.b64encode(bytes(16)).decode()
            upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
            client.sendall(f"GET /ws HTTP/1.1\r\nHost: a\r\n{upgrade}\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
            assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
            shop.serve("green")
            client.sendall(b"still there")
            assert client.recv(4096) == b"still there"


def test_every_named_port_is_served_on_a_listen_of_its_own(shop: Shop) -> None:
    http, ws = free_ports(2)
    listens = free_ports(2)
    member = Member("app1", "blue", {"http": http, "ws": ws})
    other = Member("app1", "green", {"http": free_ports(1)[0], "ws": free_ports(1)[0]}, backup=True)
    listen = {"http": f"127.0.0.1:{listens[0]}", "ws": f"127.0.0.1:{listens[1]}"}
    wish = altered(replace(shop.wish, members=(member, other), pool=(member, other)), site={"listen": listen})
    with web(http, "http"), web(ws, "ws"):
        _declare.declare(wish)
        assert ask(listens[0]).slot == "http"
        assert ask(listens[1]).slot == "ws"


def test_tls_is_served_with_the_users_certificate(shop: Shop, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run([*make.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    wish = altered(shop.wish, site={"tls_certificate": str(certificate), "tls_key": str(key)})
    with web(port_of(shop, "blue")):
        _declare.declare(wish)
        trust = ssl.create_default_context(cafile=str(certificate))
        with socket.create_connection(("127.0.0.1", shop.port), timeout=10) as plain, trust.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert b'"X-Forwarded-Proto": "https"' in answer


def test_a_body_larger_than_body_size_is_refused_by_nginx(make_shop: MakeShop) -> None:
    shop = make_shop(site={"body_size": "1k"})
    with web(port_of(shop, "blue")):
        _declare.declare(shop.wish)
        assert shop.ask("/", b"x" * 1000).body["bytes"] == 1000
        assert shop.ask("/", b"x" * 2000).status == 413


def test_a_location_prefix_leaves_the_rest_of_the_server_to_the_user(make_shop: MakeShop) -> None:
    shop = make_shop(site={"location": "/api/", "extra": "location = /mine { return 200 mine; }"})
    with web(port_of(shop, "blue")), web(port_of(shop, "green"), "green"):
        _declare.declare(shop.wish)
        assert shop.ask("/api/x", b"body").body["path"] == "/api/x"
        assert shop.ask("/mine").text == "mine"
        assert shop.ask("/else").status == 404


def test_an_idle_time_below_a_second_is_one_that_nginx_takes(make_shop: MakeShop) -> None:
    shop = make_shop(site={"idle": 0.25})
    assert _declare.declare(shop.wish).reloaded


# A server block of the user's own


@pytest.mark.parametrize(
    "reach", ["location / {{ include {file}; }}", "location / {{ root {site}; try_files $uri @app; }} location @app {{ include {file}; }}"]
)
def test_in_the_users_own_server_his_error_page_static_files_and_try_files_go_on_working(make_shop: MakeShop, tmp_path: Path, reach: str) -> None:
    shop = make_shop(site={"enabled": False})
    site = shop.bed.path / "site"
    for name, text in (("static/a.txt", "a file"), ("sorry.html", "sorry, back soon"), ("robots.txt", "robots")):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    _declare.declare(shop.wish)
    assert not _declare.declare(shop.wish).changed, "a location that nobody includes yet is no fault"
    mine = shop.bed.path / "conf.d" / f"mine-{shop.wish.service}.conf"
    ours = reach.format(site=site, file=_site.location_file(shop.wish, "http"))
    mine.write_text(
        f"server {{ listen 127.0.0.1:{shop.port}; error_page 502 /sorry.html; location = /sorry.html {{ root {site}; }} "
        f"location /static/ {{ root {site}; }} {ours} }}\n"
    )
    try:
        os.kill(shop.bed.nginx_pid, signal.SIGHUP)
        wait_until(lambda: _nginx.observe(shop.wish).loaded, what="the user's server")
        assert not _declare.declare(shop.wish).changed
        with web(port_of(shop, "blue")), web(port_of(shop, "green"), "green"):
            assert shop.ask("/").slot == "blue"
            assert shop.ask("/static/a.txt").text == "a file"
            assert shop.ask("/static/none.txt").status == 404
            assert shop.ask("/post", b"x" * 50_000).body["bytes"] == 50_000
            assert (shop.ask("/robots.txt").text == "robots") == ("try_files" in reach)
            shop.serve("green")
            assert shop.ask("/").slot == "green"
        sorry = shop.ask("/")
        assert (sorry.status, sorry.text) == (502, "sorry, back soon")
    finally:
        mine.unlink()
        os.kill(shop.bed.nginx_pid, signal.SIGHUP)


# Whether nginx may read it


def test_a_directory_that_the_workers_user_cannot_search_is_named(own_bed: Bed, make_shop: MakeShop) -> None:
    config = own_bed.path / "nginx.conf"
    config.write_text(config.read_text().replace("user root;", f"user nobody {grp.getgrgid(pwd.getpwnam('nobody').pw_gid).gr_name};"))
    before = set(_nginx.workers(make_shop(own_bed).wish.nginx))
    os.kill(own_bed.nginx_pid, signal.SIGHUP)
    shop = make_shop(own_bed, nginx={"state_dir": f"{own_bed.path}/closed/bluegreen"})
    # A worker is root's for a moment, before it becomes its user.
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    wait_until(lambda: shop.workers() and not shop.workers() & before, what="new workers")
    wait_until(lambda: {Path(f"/proc/{pid}").stat().st_uid for pid in shop.workers()} == {user}, what="their user")
    closed = own_bed.path / "closed"
    closed.mkdir(0o755)
    assert _nginx.blocked_folder(shop.wish) is None
    closed.chmod(0o600)
    try:
        assert _nginx.blocked_folder(shop.wish) == str(closed)
    finally:
        closed.chmod(0o755)


def test_a_pool_has_the_same_name_whatever_the_order_of_its_members() -> None:
    assert _pools.name(["a/blue", "a/green"]) == _pools.name(["a/green", "a/blue"]) != _pools.name(["a/blue"])
