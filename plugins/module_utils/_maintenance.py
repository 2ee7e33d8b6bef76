# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members a balancer leaves out because somebody works on them: who, why and since when, in a file beside the link."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, Mapping

from . import _files, _site
from ._model import Refusal, Wish

Marks = Dict[str, Dict[str, Any]]  # member id → by, why, since (seconds since the epoch)


def path(wish: Wish) -> str:
    """One file a service; whoever may switch may read it, nobody else."""
    return f"{_site.state_dir(wish)}/maintenance.json"


def read(wish: Wish) -> Marks:
    """The marks of members that this host may serve. A file that cannot be read is a refusal: what it says may be that nothing may be touched."""
    text = _files.read(path(wish))
    if text is None:
        return {}
    try:
        found = json.loads(text)
        return {str(name): {key: note[key] for key in ("by", "why", "since")} for name, note in found.items()}
    except (ValueError, AttributeError, KeyError, TypeError):
        raise Refusal(f"{path(wish)} says who is in maintenance, and cannot be understood. Mend it, or remove it and drain again.") from None


def change(wish: Wish, mark: Mapping[str, Mapping[str, Any]], lift: Iterable[str]) -> bool:
    """Mark these members, if they are not marked yet, and take the marks of those away. Whether anything changed. Under the switch's lock."""
    with _files.locked(f"{_site.state_dir(wish)}/.lock"):
        before = read(wish)
        lifted = frozenset(lift)
        after = {name: note for name, note in {**mark, **before}.items() if name not in lifted}
        return before != after and _files.write(path(wish), json.dumps(after, sort_keys=True) + "\n", 0o600)


def words(note: Mapping[str, Any]) -> str:
    """``in maintenance (ann: disk change)``."""
    return f"in maintenance ({note['by']}: {note['why']})"


def left_alone(wish: Wish) -> Marks:
    """Those whose maintenance this run does not end."""
    return {name: note for name, note in read(wish).items() if name not in wish.lifting}


def refuse_marked(wish: Wish, members: Iterable[str]) -> None:
    """:class:`Refusal` if this run must leave one of the members alone."""
    marks = left_alone(wish)
    marked = [f"{name} is {words(marks[name])}" for name in members if name in marks]
    if marked:
        raise Refusal(f"{' and '.join(marked)}, so {wish.host} does not serve it: hotswap.bluegreen.enable brings it back.")
