"""What every test has: this checkout as the collection hotswap.bluegreen, and the repository's own packages."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.bed import collections_path  # noqa: E402  # the path above comes first

sys.path.insert(0, str(collections_path()))
