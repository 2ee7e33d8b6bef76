# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The requests of the services that messages go to, and what their answers mean. Pure: (target, message, time) → request.

Text is sent as text wherever a service has a kind of message that interprets nothing, so nothing in it is markup or
mentions anybody; where it has none, what is interpreted is escaped.

- Slack, incoming webhooks: https://api.slack.com/messaging/webhooks, escaping: /reference/surfaces/formatting
- DingTalk, custom robots: https://open.dingtalk.com/document/robots/custom-robot-access, signing: /customize-robot-security-settings
- WeCom, group robots: https://developer.work.weixin.qq.com/document/path/91770
- Feishu and Lark, custom bots: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from ._message import Message
from ._notify_rules import Target
from ._plain import plain

_SHORT = 4  # letters of which a text may have the same by chance
_SHOWN = 200  # letters of a service's own words that are repeated
# Words in the paths of webhooks that are no secrets.
_PUBLIC = frozenset(["api", "bot", "cgi-bin", "hook", "hooks", "open-apis", "robot", "send", "services", "webhook"])
_BUSY = (-1,)  # DingTalk and WeCom: the system is busy, try again


@dataclass(frozen=True)
class Request:
    """A POST of ``body`` as JSON."""

    url: str = field(repr=False)
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def data(self) -> bytes:
        return json.dumps(self.body, ensure_ascii=False).encode("utf-8", "replace")


def render(target: Target, message: Message, now: float) -> Request:
    """The request that tells ``target`` of the message; ``now`` (epoch seconds) is what a signature is for."""
    text = message.words(target.template)
    body, query = _SHAPES[target.kind](target, message, text, now)
    glue = "&" if urlsplit(target.url).query else "?"
    url = f"{target.url}{glue}{query}" if query else target.url
    return Request(url, body, {"Content-Type": "application/json; charset=utf-8", **target.headers})


def _generic(target: Target, message: Message, text: str, _now: float) -> tuple[dict[str, Any], str]:
    return {**message.data(), "text": text}, ""


def _slack(_target: Target, _message: Message, text: str, _now: float) -> tuple[dict[str, Any], str]:
    """``&``, ``<`` and ``>`` are Slack's own: links, mentions and ``<!channel>`` are made of them."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped, "mrkdwn": False}, ""


def _dingtalk(target: Target, _message: Message, text: str, now: float) -> tuple[dict[str, Any], str]:
    body = {"msgtype": "text", "text": {"content": text}, "at": {"isAtAll": False}}
    if not target.secret:
        return body, ""
    stamp = str(round(now * 1000))
    sign = _sign(target.secret, f"{stamp}\n{target.secret}")
    return body, f"timestamp={stamp}&sign={quote_plus(sign)}"


def _wecom(_target: Target, _message: Message, text: str, _now: float) -> tuple[dict[str, Any], str]:
    return {"msgtype": "text", "text": {"content": _cut(text, 2048)}}, ""


def _feishu(target: Target, message: Message, text: str, now: float) -> tuple[dict[str, Any], str]:
    """A rich text of text alone: in a plain one, ``<at user_id="all">`` would mention everybody."""
    lines = [[{"tag": "text", "text": line}] for line in text.splitlines()]
    body: dict[str, Any] = {"msg_type": "post", "content": {"post": {"en_us": {"title": message.title, "content": lines}}}}
    if target.secret:
        stamp = str(int(now))
        body = {"timestamp": stamp, "sign": _sign(f"{stamp}\n{target.secret}", ""), **body}
    return body, ""


_SHAPES: dict[str, Callable[[Target, Message, str, float], tuple[dict[str, Any], str]]] = {
    "generic": _generic,
    "slack": _slack,
    "dingtalk": _dingtalk,
    "wecom": _wecom,
    "feishu": _feishu,
}


def _sign(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode()


def _cut(text: str, size: int) -> str:
    """The text in at most ``size`` bytes of UTF-8."""
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= size else f"{data[: size - 3].decode('utf-8', 'ignore')}…"


@dataclass(frozen=True)
class Verdict:
    """What came of an attempt: '' where the message was taken, else why not, and whether it is worth another one."""

    why: str = ""
    again: bool = False


def judge(target: Target, status: int, body: bytes) -> Verdict:
    """What an answer means. Some services answer 200 to what they refuse, and say so in the body."""
    said = plain(body[:4096].decode("utf-8", "replace")).strip()
    if not 200 <= status < 300:
        what = "a redirect, which is not followed" if 300 <= status < 400 else said
        return Verdict(f"it answered {status}{f': {_short(scrub(what, target))}' if what else ''}", status in (408, 425, 429) or status >= 500)
    code, words = _code(target.kind, body)
    if code in (0, ""):
        return Verdict()
    return Verdict(f"it answered {status} with {code}{f': {_short(scrub(words, target))}' if words else ''}", code in [f"errcode {number}" for number in _BUSY])


def _code(kind: str, body: bytes) -> tuple[str | int, str]:
    """(what the body says went wrong, or 0 or '', its words)."""
    names = {"dingtalk": (("errcode", "errmsg"),), "wecom": (("errcode", "errmsg"),), "feishu": (("code", "msg"), ("StatusCode", "StatusMessage"))}.get(
        kind, ()
    )
    if not names:
        return "", ""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return "something that is no JSON object", ""
    for code, words in names:
        if code in found:
            return (0 if found[code] in (0, "0") else f"{code} {found[code]}"), plain(str(found.get(words) or ""))
    return f"no {names[0][0]}", ""


def scrub(text: str, target: Target) -> str:
    """The text without anything that the target's URL, secret or headers hold."""
    parts = urlsplit(target.url)
    held = [target.url, target.secret, *target.headers.values(), parts.query, parts.path, *parts.path.split("/")]
    held += [word for value in target.headers.values() for word in value.split()]
    held += [word for pair in parse_qsl(parts.query, keep_blank_values=True) for word in pair[1:]]
    shapes = {shape for word in held for shape in (word, quote(word), quote_plus(word), unquote(word)) if len(shape) >= _SHORT and shape not in _PUBLIC}
    for shape in sorted(shapes, key=len, reverse=True):
        text = text.replace(shape, "…")
    return text


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN]}…"
