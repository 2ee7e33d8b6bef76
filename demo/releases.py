"""The shop's releases: v1, v2 with other prices, and v3, which was packed without the price list that it names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

_APP = Path(__file__).parent / "app" / "shop.py"
_PRICES = {
    "v1": {"tea": 3.20, "bread": 2.90},
    "v2": {"tea": 3.40, "bread": 2.90, "honey": 7.50},
    "v3": None,
}
BROKEN = "v3"


def build(folder: Path) -> dict[str, Path]:
    """Make a directory for each release in ``folder``: what a build server would hand over. Name → directory."""
    made = {}
    for name, prices in _PRICES.items():
        made[name] = folder / name
        made[name].mkdir(parents=True)
        shutil.copy(_APP, made[name])
        settings = {"release": name, "greeting": f"Welcome to the shop, release {name}", "prices": f"prices-{name}.json"}
        (made[name] / "settings.json").write_text(json.dumps(settings))
        if prices:
            (made[name] / f"prices-{name}.json").write_text(json.dumps(prices))
    return made
