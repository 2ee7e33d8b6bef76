# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs without a port: those that run beside a slot and restart with it; and what of all of them is seen on a host.

Which workers a release has is in its start: one that a release does not know is not run with it. So a rollback to
before a worker was there brings none.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Dict, List

from . import _cron, _files, _permit, _processes, _program
from ._frame import Failed
from ._model import Refusal, Wish
from ._parts import WORKERS, Job
from ._release import SlotPlace
from ._states import DEAD_STATES, JobState

if TYPE_CHECKING:
    from ._supervisor import Client  # its libraries are slow to load, and a host that only balances needs none of them


def prepare(wish: Wish) -> None:
    """The place of the single jobs, where there are any."""
    if not any(place.slot == WORKERS for place in wish.places):
        return
    try:
        for folder, mode in ((f"{wish.root}/{WORKERS}", 0o755), (f"{wish.root}/{WORKERS}/.launch", 0o711), (_program.permit_folder(wish.root), 0o755)):
            os.makedirs(folder, exist_ok=True)
            os.chmod(folder, mode)
    except OSError as error:
        raise Refusal(f"cannot create {error.filename}: {error.strerror}. Use become, or set bluegreen_root to a directory this user may write.") from None
    _files.write(f"{wish.root}/{WORKERS}/launcher", _program.launcher(wish.root, WORKERS), 0o755)


def path(wish: Wish, name: str) -> str:
    """The file of supervisor's program ``name``."""
    return f"{wish.supervisor.program_dir}/{name}.conf"


def installed(wish: Wish, slot: str) -> Dict[str, str]:
    """The files of the slot's workers that are there, by supervisor's name: ours by their first line, nobody else's."""
    header = _program.job_header(wish.service, slot)
    try:
        names = [name[: -len(".conf")] for name in os.listdir(wish.supervisor.program_dir) if name.endswith(".conf") and not name.startswith(".")]
    except OSError:
        return {}
    texts = {name: _files.read(path(wish, name)) or "" for name in sorted(names) if name.startswith(f"{wish.service}-")}
    return {name: text for name, text in texts.items() if text.startswith(header)}


def known(wish: Wish, slot: str, release: str) -> List[Job]:
    """The wished workers of a place that the release has, by its start as it is there."""
    start = _files.read(SlotPlace(wish.root, slot).start_path(release)) or "" if release else ""
    return [job for job in wish.jobs_in(slot) if job.id in _program.jobs_known(start)]


def wanted(wish: Wish, slot: str, release: str) -> Dict[str, str]:
    """The slot's files as they shall be with this release."""
    return {_program.job_name(wish.service, slot, job): _program.job_file(wish, slot, job) for job in known(wish, slot, release) if not job.schedule}


def programs(wish: Wish, slot: str) -> List[str]:
    """supervisor's names of all workers that may run beside the slot."""
    return sorted({*installed(wish, slot), *(_program.job_name(wish.service, slot, job) for job in wish.jobs_in(slot))})


def stop_timeout(wish: Wish, slot: str) -> int:
    """Seconds that the slot with its workers may take to stop."""
    return max([wish.program.stop_timeout, *(job.stop_timeout for job in wish.jobs_in(slot))])


def refuse_foreign(wish: Wish, slot: str, name: str) -> None:
    """:class:`Refusal` if the file that we would write is somebody else's."""
    text = _files.read(path(wish, name))
    if text is not None and not text.startswith(_program.job_header(wish.service, slot)):
        raise Refusal(f"{path(wish, name)} was not written for a worker of {wish.service}: rename the worker, or take that file away.")


def unfit(wish: Wish) -> List[str]:
    """What on this host stands against its jobs, a sentence each."""
    found = []
    for place in wish.places if wish.jobs else ():
        for job in wish.jobs_in(place.slot):
            try:
                if not job.schedule:
                    refuse_foreign(wish, place.slot, _program.job_name(wish.service, place.slot, job))
            except Refusal as error:
                found.append(str(error))
    if wish.singles and not shutil.which("flock"):
        found.append("bluegreen_workers: the command flock is not on this host, without which a job could run twice. Install util-linux.")
    if any(job.schedule for job in wish.jobs):
        found += _cron.unfit(wish)
    return found


def start(wish: Wish, client: Client, slot: str, release: str, restore: bool) -> None:
    """Put the slot's workers in place as the release has them, and start them; those it has no more are forgotten.

    ``restore`` brings back the files of before this swap. They were stopped with their slot.
    """
    before, kept = installed(wish, slot), _kept(wish, slot)
    if restore:
        text = _files.read(kept)
        files = before if text is None else json.loads(text)
    else:
        files = wanted(wish, slot, release)
        if files != before and not os.path.exists(kept):  # a run that was cut off halfway has kept them already
            _files.write(kept, json.dumps(before), 0o600)
    for name in files:
        refuse_foreign(wish, slot, name)
    changed = [name for name in {**before, **files} if before.get(name) != files.get(name)]
    for name in changed:
        client.remove(name)
        if name in files:
            _files.write(path(wish, name), files[name], 0o644)
        else:
            os.unlink(path(wish, name))
    missing = [name for name in files if client.process(name).state == "ABSENT"]
    if changed or missing:
        client.reread()
    for name in missing:
        client.add(name)
    for name in files:
        client.start(name)


def settle(wish: Wish, slot: str) -> None:
    """The release is good here: what was kept to go back to is no longer needed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_kept(wish, slot))


def _kept(wish: Wish, slot: str) -> str:
    return f"{wish.root}/{slot}/.previous-workers"


def not_yet_running(wish: Wish, client: Client, slot: str, release: str) -> str:
    """Which of the slot's workers does not run the release for long enough yet, '' if all do. :class:`Failed` for one that ended."""
    for name in installed(wish, slot):
        process = client.process(name)
        if process.state in DEAD_STATES:
            raise Failed(f"the worker {name} runs", f"supervisor says {process.state}: {process.problem or 'it ended'}")
        if process.state != "RUNNING":
            return f"the worker {name}: supervisor says {process.state}"
        found = _processes.running_release(process.pid, f"{wish.root}/{slot}")
        if found != release:
            return f"the worker {name} runs release {found or '(not known yet)'}, not {release}"
    return ""


def pending(wish: Wish, client: Client, slot: str) -> bool:
    """Whether a worker of the slot is not as the wished release has it: its file, or its process."""
    if wanted(wish, slot, wish.release) != installed(wish, slot):
        return True
    try:
        return any(client.process(name).state not in ("RUNNING", "STARTING") for name in installed(wish, slot))
    except Failed:
        return True


def log(wish: Wish, client: Client, slot: str) -> List[str]:
    """The last lines of the first worker of the slot that has ended, [] if none has."""
    ended = [name for name in installed(wish, slot) if client.process(name).state in {"BACKOFF", *DEAD_STATES} - {"STOPPED"}]
    return client.log(ended[0]) if ended else []


def single_name(wish: Wish, job: str) -> str:
    """supervisor's name of the single worker ``worker:queue``."""
    return f"{wish.service}-{job.partition(':')[2]}"


def singles(wish: Wish, client: Client) -> List[JobState]:
    """Every single job that this host has anything of: a permit, a file or a line for cron, a process."""
    files, lines, permits = installed(wish, WORKERS), _cron.lines(wish), _permit.here(wish)
    ids = {*permits, *lines, *(f"worker:{name[len(wish.service) + 1 :]}" for name in files), *(job.id for job in wish.singles)}
    place = SlotPlace(wish.root, WORKERS)
    behind = (
        "" if wish.release and place.current == wish.release and (wish.rollback or not place.pending(wish.release)) else f"release {place.current or 'none'}"
    )
    found = [
        _cron_state(wish, job, lines, permits, behind) if job.startswith("cron:") else _state(wish, client, job, files, permits, behind) for job in sorted(ids)
    ]
    return [state for state, is_here in found if is_here]


def _cron_state(wish: Wish, job: str, lines: Dict[str, str], permits: Any, behind: str) -> Any:
    wished = wish.single(job)
    release = SlotPlace(wish.root, WORKERS).current
    wrong = behind or ("no permit" if job not in permits else "" if wished and lines.get(job) == _cron.line(wish, wished) else "its line is another one")
    return JobState(job, 0, release, not wrong, wrong), job in permits or job in lines


def _state(wish: Wish, client: Client, job: str, files: Dict[str, str], permits: Any, behind: str) -> Any:
    wished, name = wish.single(job), single_name(wish, job)
    process = client.process(name)
    release = _processes.running_release(process.pid, f"{wish.root}/{WORKERS}") if process.pid else None
    wrong = f"supervisor says {process.state}" if process.state != "RUNNING" else behind
    wrong = wrong or (f"it runs release {release or '(not known)'}" if release != wish.release else "")
    wrong = wrong or ("no permit" if job not in permits else "")
    wrong = wrong or ("" if wished and files.get(name) == _program.job_file(wish, WORKERS, wished) else "its program file is another one")
    return JobState(job, process.pid, release, not wrong, wrong), job in permits or name in files or bool(process.pid)


def seen(wish: Wish, client: Client) -> List[Dict[str, Any]]:
    """Every worker and cron entry of the service on this host, for a person: changes nothing.

    Each has ``id`` (``worker:mail``, ``cron:report``), ``scope`` ('' if it is no longer wished), ``slot`` ('' unless it runs
    beside one), ``state`` (supervisor's word; ``SCHEDULED`` for an entry of cron), ``pid``, ``release`` and ``seconds``
    (since its start), the last three None where there is no process.
    """
    rows = []
    for member in wish.members:
        for name in programs(wish, member.slot):
            job = name[len(_program.program_name(wish.service, member.slot)) + 1 :]
            is_wished = any(found.name == job for found in wish.jobs_in(member.slot))
            rows.append({**_row(wish, client, name, member.slot), "id": f"worker:{job}", "scope": "slot" if is_wished else "", "slot": member.slot})
    for state in singles(wish, client):
        wished = wish.single(state.id)
        row = {"state": "SCHEDULED", "pid": None, "release": state.release, "seconds": None}
        if not state.id.startswith("cron:"):
            row = _row(wish, client, single_name(wish, state.id), WORKERS)
        rows.append({**row, "id": state.id, "scope": wished.scope if wished else "", "slot": ""})
    return rows


def _row(wish: Wish, client: Client, name: str, place: str) -> Dict[str, Any]:
    process = client.process(name)
    if not process.pid:
        return {"state": process.state, "pid": None, "release": None, "seconds": None}
    release = _processes.running_release(process.pid, f"{wish.root}/{place}")
    return {"state": process.state, "pid": process.pid, "release": release, "seconds": process.uptime}
