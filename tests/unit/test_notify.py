"""Messages: what is told of a run, as each service wants it, and what nobody may read in any output."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _message, _notify_rules, _owner, _rules, _task, _values, _variables, _webhooks
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._message import Ended, Message
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._notify_rules import Target
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._rules import Problems

NASTY = '*bold* <!channel> <at user_id="all">all</at> <@all> @all & "quoted" [x](http://x) `code`\n# title'
ABOUT: dict[str, Any] = {"service": "shop", "release": "v2", "who": "mia@ci (pid 7)", "hosts": ("app1", "app2"), "members": 4, "at": 1000.0}
URLS = {
    "generic": "https://example.com/hook",
    "slack": "https://hooks.slack.com/services/T000/B000/XXXXTOKENXXXX",
    "dingtalk": "https://oapi.dingtalk.com/robot/send?access_token=XXXXTOKENXXXX",
    "wecom": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=XXXXTOKENXXXX",
    "feishu": "https://open.feishu.cn/open-apis/bot/v2/hook/XXXXTOKENXXXX",
}


def ended(failed: dict[str, str] | None = None, back: dict[str, str] | None = None, changed: bool = True, reached: bool = True) -> Ended:
    return Ended(reached, changed, failed or {}, back or {})


def at_end(how: Ended, way: str = "release", begun: bool = True, **more: Any) -> Message:
    message = _message.at_end(how, way, begun, **{**ABOUT, "seconds": 61.4, "report": "/reports/shop-v2", **more})
    assert message
    return message


def request(kind: str, message: Message, now: float = 1700000000.25, **more: Any) -> _webhooks.Request:
    return _webhooks.render(Target(kind, URLS[kind], **more), message, now)


def nasty() -> Message:
    return at_end(ended({"app1": f"app1/blue failed: {NASTY.splitlines()[0]}\nits last log lines:\n  password"}), release=NASTY, who="@all")


# What is told.


def test_what_happened_is_a_sentence() -> None:
    start = _message.at_start(way="release", **ABOUT)
    assert start.text == "Release v2 of shop begins on app1, app2.\nBy mia@ci (pid 7)."
    assert at_end(ended()).text == "Release v2 of shop serves on 4 members of app1, app2 after 61 s.\nBy mia@ci (pid 7).\nReport: /reports/shop-v2"
    failed = at_end(ended({"app1": "app1/blue failed at check: expected: 200; seen: 500\nits last log lines:\n  secret words"}, {"app1": "v1", "app3": ""}))
    assert failed.sentence == (
        "Release v2 of shop failed after 61 s: app1/blue failed at check: expected: 200; seen: 500. Back to what they had: app1 (v1), app3 (no release)."
    )
    assert at_end(ended(), way="rollback").sentence == "shop is back on release v2 on 4 members of app1, app2 after 61 s."
    assert "The rollback of shop to release v2 failed" in at_end(ended({"app1": "no"}), way="rollback").sentence
    assert "was cut off after 61 s: it ended before its end" in at_end(ended(reached=False)).sentence


def test_where_nobody_knows_since_when_and_where_is_no_report_nothing_is_said_of_it() -> None:
    assert at_end(ended(), seconds=None, report="").text == "Release v2 of shop serves on 4 members of app1, app2.\nBy mia@ci (pid 7)."
    many = at_end(ended(), hosts=tuple(f"app{number}" for number in range(1, 51)), members=1)
    assert "on 1 member of app1, app2, app3, app4 and 46 more after" in many.sentence


@pytest.mark.parametrize(
    ("how", "way", "occasions"),
    [
        (ended(), "release", ("success",)),
        (ended(), "rollback", ("rollback",)),
        (ended({"app1": "no"}), "release", ("failure",)),
        (ended({"app1": "no"}, {"app1": "v1"}), "release", ("failure", "rollback")),
        (ended({"app1": "no"}), "rollback", ("failure", "rollback")),
        (ended(changed=False), "release", ("success",)),
    ],
)
def test_who_asked_for_what_happened_hears_of_it(how: Ended, way: str, occasions: tuple[str, ...]) -> None:
    assert at_end(how, way).occasions == occasions


def test_a_run_with_nothing_to_do_tells_nothing_unless_its_beginning_was_told() -> None:
    assert _message.at_end(ended(changed=False), "release", False, seconds=1.0, **ABOUT) is None
    assert _message.at_end(ended(changed=False), "release", True, seconds=1.0, **ABOUT)
    assert _message.at_end(ended({"app1": "no"}, changed=False), "release", False, seconds=1.0, **ABOUT)


def test_why_it_failed_is_a_line_each_without_the_programs_own_words() -> None:
    texts = {f"app{number}": f"app{number} is \x1b[31mlost\nits last log lines:\n  password=x" for number in (1, 2, 3)}
    assert _message.first_lines(texts) == "app1 is \\x1b[31mlost; app2 is \\x1b[31mlost; and 1 more"
    assert _message.first_lines({"app1": "the same\nx", "app2": "the same\ny"}) == "the same"
    assert len(_message.first_lines({"app1": "x" * 5000})) == 501
    lines = [{"kind": "phase", "name": "lock", "outcome": "ok"}, {"kind": "phase", "name": "stage", "outcome": "failed", "host": "app2", "detail": "no space"}]
    assert _message.why(lines, ["app1", "app2"]) == "stage failed on app2: no space"
    assert _message.why([], ["app2"]) == "a task failed on app2; the output of the run says why"


@pytest.mark.parametrize(
    ("facts", "changed"),
    [
        ({}, False),
        ({"bluegreen_swapped": True}, True),
        ({"bluegreen_finished": {"token": 7, "changed": True}}, True),  # an earlier run was cut off when all members were swapped
        ({"bluegreen_finished": {"token": 7, "changed": False}}, False),
        ({"bluegreen_finished": {"token": 6, "changed": True}}, False),  # an earlier play of the same ansible-playbook
    ],
)
def test_a_run_that_only_brought_an_earlier_one_to_its_end_has_changed_something(facts: dict[str, Any], changed: bool) -> None:
    hosts = {"app1": {"ansible_facts": {"bluegreen_lock": {"token": 7, "run": _owner.run()}}}, "app2": {"ansible_facts": facts}}
    assert _task.changed({"hostvars": hosts, "ansible_play_hosts_all": list(hosts)}) is changed


# In the shape that each service documents.


def test_slack_gets_text_in_which_nothing_is_markup() -> None:
    found = request("slack", nasty())
    assert found.url == URLS["slack"]
    assert set(found.body) == {"text", "mrkdwn"} and found.body["mrkdwn"] is False
    assert "<" not in found.body["text"] and ">" not in found.body["text"]
    assert "&lt;!channel&gt;" in found.body["text"] and "@all &amp; " in found.body["text"]
    assert "password" not in found.body["text"]


def test_dingtalk_gets_text_for_nobody_in_particular_signed_in_the_url() -> None:
    found = request("dingtalk", nasty(), secret="SEC00 +&")
    assert found.body == {"msgtype": "text", "text": {"content": nasty().text}, "at": {"isAtAll": False}}
    query = parse_qs(urlsplit(found.url).query)
    sign = base64.b64encode(hmac.new(b"SEC00 +&", b"1700000000250\nSEC00 +&", hashlib.sha256).digest()).decode()
    assert query == {"access_token": ["XXXXTOKENXXXX"], "timestamp": ["1700000000250"], "sign": [sign]}
    assert request("dingtalk", nasty()).url == URLS["dingtalk"], "without a secret it is not signed"


def test_wecom_gets_text_of_no_more_bytes_than_it_takes() -> None:
    assert request("wecom", nasty()).body == {"msgtype": "text", "text": {"content": nasty().text}}
    long = at_end(ended(), who="发布" * 2000)
    content = request("wecom", long).body["text"]["content"]
    assert 2040 < len(content.encode()) <= 2048 and content.endswith("…")
    assert request("wecom", long).url == URLS["wecom"]


def test_feishu_gets_a_post_of_text_alone_signed_in_the_body() -> None:
    found = request("feishu", nasty(), secret="geheim")
    assert found.url == URLS["feishu"]
    sign = base64.b64encode(hmac.new(b"1700000000\ngeheim", b"", hashlib.sha256).digest()).decode()
    assert (found.body["timestamp"], found.body["sign"], found.body["msg_type"]) == ("1700000000", sign, "post")
    post = found.body["content"]["post"]["en_us"]
    assert post["title"] == f"shop {NASTY}: failed"
    assert "\n".join(part["text"] for line in post["content"] for part in line) == nasty().text
    assert {part["tag"] for line in post["content"] for part in line} == {"text"}, "a tag at would mention somebody"
    assert not {"timestamp", "sign"} & set(request("feishu", nasty()).body)


def test_any_other_webhook_gets_all_that_is_known_and_headers_of_the_user() -> None:
    found = request("generic", nasty(), headers={"Authorization": "Bearer x"})
    assert found.headers["Authorization"] == "Bearer x" and found.headers["Content-Type"].startswith("application/json")
    assert {name: found.body[name] for name in ("schema", "event", "way", "result", "service", "members", "seconds", "at", "report")} == {
        "schema": 1,
        "event": "failure",
        "way": "release",
        "result": "failed",
        "service": "shop",
        "members": 4,
        "seconds": 61.4,
        "at": 1000.0,
        "report": "/reports/shop-v2",
    }
    assert found.body["hosts"] == ["app1", "app2"] and found.body["release"] == NASTY
    assert json.loads(found.data)["text"] == nasty().text


@pytest.mark.parametrize("kind", _notify_rules.KINDS)
def test_a_template_makes_the_text_and_leaves_what_is_not_its_own(kind: str) -> None:
    message = at_end(ended({"app1": "$who ${release} failed"}))
    text = json.dumps(request(kind, message, template="$service/${release} $result in $took ($$5) by $who: $failure").body)
    assert "shop/v2 failed in 61 s ($5) by mia@ci (pid 7): $who ${release} failed" in text


# What an answer means.


@pytest.mark.parametrize(
    ("kind", "status", "body", "why", "again"),
    [
        ("slack", 200, b"ok", "", False),
        ("slack", 404, b"no_service", "it answered 404: no_service", False),
        ("slack", 503, b"", "it answered 503", True),
        ("slack", 429, b"rate_limited", "it answered 429: rate_limited", True),
        ("generic", 204, b"", "", False),
        ("generic", 302, b"<a href=/>", "it answered 302: a redirect, which is not followed", False),
        ("dingtalk", 200, b'{"errcode":0,"errmsg":"ok"}', "", False),
        ("dingtalk", 200, b'{"errcode":310000,"errmsg":"sign not match"}', "it answered 200 with errcode 310000: sign not match", False),
        ("dingtalk", 200, b'{"errcode":-1,"errmsg":"system busy"}', "it answered 200 with errcode -1: system busy", True),
        ("wecom", 200, b'{"errcode":0,"errmsg":"ok"}', "", False),
        ("wecom", 200, b'{"errcode":93000,"errmsg":"invalid webhook url"}', "it answered 200 with errcode 93000: invalid webhook url", False),
        ("feishu", 200, b'{"code":0,"msg":"success","data":{}}', "", False),
        ("feishu", 200, b'{"StatusCode":0,"StatusMessage":"success"}', "", False),
        ("feishu", 200, b'{"code":19021,"msg":"sign match fail"}', "it answered 200 with code 19021: sign match fail", False),
        ("feishu", 200, b"{}", "it answered 200 with no code", False),
        ("wecom", 200, b"<html>a login page</html>", "it answered 200 with something that is no JSON object", False),
        ("dingtalk", 200, b"\xff\x00[", "it answered 200 with something that is no JSON object", False),
    ],
)
def test_an_answer_is_judged_by_its_status_and_by_the_code_in_its_body(kind: str, status: int, body: bytes, why: str, again: bool) -> None:
    assert _webhooks.judge(Target(kind, URLS[kind]), status, body) == _webhooks.Verdict(why, again)


def test_what_a_service_says_is_repeated_without_anything_that_authorizes() -> None:
    target = Target("generic", "https://h.example/a/TOKEN%2BONE?key=TOKEN+TWO", secret="SECRET", headers={"Authorization": "Bearer HEADER"})
    said = b"no: /a/TOKEN%2BONE TOKEN+ONE ?key=TOKEN+TWO (TOKEN TWO, TOKEN%20TWO) SECRET HEADER \x1b[2J" + b"x" * 5000
    why = _webhooks.judge(target, 400, said).why
    assert why.startswith("it answered 400: no: ") and len(why) < 240
    assert not any(word in why for word in ("TOKEN", "SECRET", "HEADER", "\x1b"))


def test_no_representation_holds_what_authorizes() -> None:
    target = Target("dingtalk", URLS["dingtalk"], secret="geheim", headers={"X": "hidden"})
    shown = f"{target!r} {target.name} {request('dingtalk', nasty(), secret='geheim', headers={'X': 'hidden'})!r}"
    assert not any(word in shown for word in ("XXXXTOKENXXXX", "geheim", "hidden", "access_token"))
    assert target.name == "dingtalk message to oapi.dingtalk.com"


# As the user writes it.


def read(*entries: Any) -> tuple[tuple[Target, ...], list[str]]:
    values, wrong = _values.read("bluegreen_notify", list(entries), _variables.spec("release")["bluegreen_notify"])
    if wrong:
        return (), wrong
    problems = Problems()
    return _notify_rules.read({"notify": values}, problems), problems.found


def test_the_short_form_is_a_url_and_everything_is_told() -> None:
    (target,), wrong = read({"url": "https://example.com/hook"})
    assert not wrong
    assert (target.kind, target.occasions, target.timeout, target.headers) == ("generic", ("start", "success", "failure", "rollback"), 5.0, {})
    (one, other), wrong = read({"url": "http://x/", "on": "failure, rollback"}, {"kind": "feishu", "url": "https://x/", True: ["start"], "secret": 5})
    assert not wrong
    assert (one.occasions, other.occasions, other.secret) == (("failure", "rollback"), ("start",), "5")


GOOD = {"kind": "dingtalk", "url": "https://example.com/?t=TOKEN"}


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({**GOOD, "kind": "slak"}, "kind is 'slak'; one of generic, slack, dingtalk, wecom, feishu is expected."),
        ({"kind": "slack"}, "url is not set; the one that the service gave for its webhook is expected."),
        ({**GOOD, "url": "example.com/TOKEN"}, "url does not begin with https:// (or http://) and a host."),
        ({**GOOD, "url": "ftp://example.com/TOKEN"}, "url does not begin with https:// (or http://) and a host."),
        ({**GOOD, "url": "https:///TOKEN"}, "url does not begin with https:// (or http://) and a host."),
        ({**GOOD, "url": "https://example.com/ TOKEN"}, "url is no URL; the one that the service gave for its webhook is expected."),
        ({**GOOD, "url": "https://example.com:TOKEN/"}, "url has a host or port that is none; it is not shown, because it may hold a token."),
        (
            {**GOOD, "url": "https://mia:TOKEN@example.com/"},
            "url has a user, a password or a # in it; put what authorizes into headers, such as Authorization.",
        ),
        ({**GOOD, "url": 1.5}, "url is not right; YAML may have cut it (1.10 is read as 1.1): put it in quotes."),
        ({**GOOD, "secret": ["TOKEN"]}, "secret is not right; a text is expected (in quotes, if YAML takes it for something else)."),
        (
            {**GOOD, "kind": "wecom", "secret": "TOKEN"},
            "secret signs messages of dingtalk and feishu; for wecom take it away, or put a token into headers.",
        ),
        ({**GOOD, "headers": {"a b": "TOKEN"}}, "headers: 'a b' is no name of an HTTP header."),
        ({**GOOD, "headers": {"X": "TOKEN\r\nY: 1"}}, "headers: the value of 'X' must be one line of ASCII."),
        ({**GOOD, "headers": "TOKEN"}, "headers is not right; a dictionary is expected."),
        ({**GOOD, "on": ["succes"]}, "on is 'succes'; start, success, failure, rollback are expected."),
        ({**GOOD, "on": []}, "on is an empty list; some of start, success, failure, rollback are expected."),
        ({**GOOD, "timeout": 0}, "timeout is 0; a positive number of seconds, 60 at most, is expected."),
        ({**GOOD, "timeout": float("nan")}, "timeout is nan; a positive number of seconds, 60 at most, is expected."),
        ({**GOOD, "timeout": 61}, "timeout is 61; a positive number of seconds, 60 at most, is expected."),
        (
            {**GOOD, "template": "$relase"},
            "template has '$relase'; known are $text, $service, $release, $result, $who, $took, $failure, $report, and $$ for a $.",
        ),
        (
            {**GOOD, "template": "5 $ ok"},
            "template has '$'; known are $text, $service, $release, $result, $who, $took, $failure, $report, and $$ for a $.",
        ),
        ({**GOOD, "token": "TOKEN"}, "token is no key of it; known are headers, kind, on, secret, template, timeout, url."),
    ],
)
def test_each_wrong_thing_is_a_sentence_that_holds_no_token(entry: dict[str, Any], sentence: str) -> None:
    targets, wrong = read(entry, {"url": "https://example.com/"})
    assert [text.removeprefix("bluegreen_notify, entry 1: ") for text in wrong] == [sentence]
    assert len(targets) <= 1 and "TOKEN" not in str(wrong)


def test_what_is_no_dictionary_is_said_without_repeating_it() -> None:
    assert read("https://example.com/TOKEN")[1] == ["bluegreen_notify, entry 1 is a text; a dictionary is expected."]


def test_a_controller_without_the_library_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    targets, _ = read({"url": "https://example.com/"})
    assert _notify_rules.lacking(targets) == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert _notify_rules.lacking(()) == "", "who sends nothing needs nothing"
    assert _notify_rules.lacking(targets).endswith(f"install it there (pip install requests). {_rules.IN_IMAGE}")
