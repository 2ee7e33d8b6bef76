# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Get a release on a host, verified and built, before any member is touched. Standard library only.

Everything happens in ``releases/.staging-<release>`` and is renamed at the end; the record that makes a directory a
release is written last. So whatever cuts a stage off, what it leaves is no release, and the next stage removes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from . import _archive, _build, _configuration, _copies, _files, _layout, _manifest, _program, _tree, _users, _workers
from ._build import Build
from ._model import Refusal, Wish
from ._release import Place, SlotPlace, known_path, releases

_SPARE = 64 << 20  # bytes that stay free on the disk of the releases


@dataclass(frozen=True)
class Source:
    """What to stage: ``path`` an archive on this host, or ``url``; ``digest`` identifies the content for a re-run.

    ``name`` is how the user knows it. ``checksum`` is ``algorithm:hexdigest`` or empty. With ``tree``, the digest of a
    manifest, the archive holds the contents of a tree that this host did not have yet.
    """

    name: str
    digest: str
    path: str = ""
    url: str = ""
    checksum: str = ""
    strip: int = 0
    tree: str = ""


@dataclass(frozen=True)
class Staged:
    """What staging did: ``changed`` if anything was written, ``release_new`` if the release was not there before."""

    changed: bool
    release_new: bool
    pending: Tuple[str, ...] = ()


def known_by_content(source: Source) -> Source:
    """The source with a digest of its content, if it is an archive of this host that came without a checksum."""
    if source.digest or not os.path.isfile(source.path):
        return source
    return replace(source, digest=f"sha256:{_archive.checksum(source.path, 'sha256')}")


def is_staged(wish: Wish, digest: str, build: Build, configuration: Sequence[_configuration.File] = ()) -> bool:
    """Whether the release is complete on this host, in ``releases`` and in every slot.

    :class:`Refusal` if it is there with other content: a release's name stands for one content.
    """
    record = releases(wish.root).record(wish.release)
    if record and digest and record.get("source") != digest:
        raise Refusal(
            f"release {wish.release} is already in {wish.root}/releases with other content ({record.get('source')}, now {digest}). "
            "Give the new content a new bluegreen_release."
        )
    in_slots = [SlotPlace(wish.root, m.slot).record(wish.release) for m in wish.places]
    for found in (record, *in_slots):
        if found and found.get("build", "") != _build_note(build, in_slot=found is not record):
            raise Refusal(
                f"release {wish.release} is already in {wish.root}, built with {found.get('build', '')!r}, now bluegreen_build is "
                f"{_build.words(build)!r}. Give it a new bluegreen_release."
            )
    if record and record.get("configuration", "") != _configuration.digest(configuration):
        raise Refusal(
            f"release {wish.release} is already in {wish.root}/releases with other configuration (bluegreen_config_files). "
            "Give code with new configuration a new bluegreen_release."
        )
    for found in filter(None, in_slots):
        if found.get("layout", "") != wish.layout.shown:
            raise Refusal(
                f"release {wish.release} is already in {wish.root} with other bluegreen_shared_paths or bluegreen_writable_paths "
                f"({found.get('layout') or 'none'}; now {wish.layout.shown or 'none'}). Give it a new bluegreen_release."
            )
    return bool(record) and all(in_slots)


def contents(wish: Wish) -> str:
    """What this host has of contents, from the releases staged before, in the manifest's short form."""
    return _manifest.shortened(_tree.known(releases(wish.root)))


def _build_note(build: Build, in_slot: bool) -> str:
    """What a record says of the build: it stands where the build ran, so one that failed in a slot can be mended."""
    return _build.words(build) if build.in_slot == in_slot else ""


def stage(
    wish: Wish,
    source: Source,
    build: Build,
    environment: Mapping[str, str],
    may_go_on: Callable[[], None] = lambda: None,
    configuration: Sequence[_configuration.File] = (),
) -> Staged:
    """Bring the release to this host: fetch, verify, unpack, build, copy to each slot, write each slot's start.

    A second call with the same wish changes nothing. ``may_go_on`` raises if a younger run came while this one built:
    the starts it would write are the younger run's.
    """
    _check_root(wish)
    _workers.prepare(wish)
    with _files.locked(f"{wish.root}/releases/.lock"):
        complete = is_staged(wish, source.digest, build, configuration)
        pristine = releases(wish.root)
        _clean(wish)
        new = not pristine.record(wish.release)
        if new:
            _stage_pristine(wish, pristine, source, build, environment, configuration)
        copied = False
        if not complete:
            _layout.check(wish, pristine.release(wish.release))
            for member in wish.places:
                copied = _copy_to_slot(wish, pristine, SlotPlace(wish.root, member.slot), build, environment) or copied
        may_go_on()
        written = [m.slot for m in wish.places if _write_start(wish, m.slot, environment)]
        pending = tuple(m.slot for m in wish.places if SlotPlace(wish.root, m.slot).pending(wish.release))
        return Staged(new or copied or bool(written), new, pending)


def _check_root(wish: Wish) -> None:
    for folder in (f"{wish.root}/releases", *(f"{wish.root}/{m.slot}" for m in wish.members)):
        if not os.path.isdir(folder):
            raise Refusal(f"{folder} is not there: run hotswap.bluegreen.install on this host first.")
        if not os.access(folder, os.W_OK):
            raise Refusal(f"no permission to write {folder}. Use become, or give this user the directory.")


def _clean(wish: Wish) -> None:
    """Remove what an earlier stage left when it was cut off: drafts, and directories without a record."""
    places = [Place(f"{wish.root}/releases"), *(SlotPlace(wish.root, m.slot) for m in wish.places)]
    for place in places:
        for name in os.listdir(place.path):
            if name.startswith(".staging-"):
                shutil.rmtree(place.release(name), ignore_errors=True)
        in_use = isinstance(place, SlotPlace) and place.current == wish.release
        if os.path.isdir(place.release(wish.release)) and not place.record(wish.release) and not in_use:
            shutil.rmtree(place.release(wish.release))


def check_space(folder: str, needed: int, what: str) -> None:
    """:class:`Refusal` unless ``needed`` bytes and a margin are free where ``folder`` is."""
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        raise Refusal(
            f"the disk of {folder} has {free >> 20} MB free; {what} needs {needed >> 20} MB, and {_SPARE >> 20} MB shall stay free. "
            "Make room, or move bluegreen_root."
        )


def _stage_pristine(
    wish: Wish, pristine: Place, source: Source, build: Build, environment: Mapping[str, str], configuration: Sequence[_configuration.File]
) -> None:
    draft = tempfile.mkdtemp(prefix=f".staging-{wish.release}-", dir=pristine.path)
    try:
        archive = source.path or _fetch(source.url, f"{draft}/archive", source.name)
        if not os.path.isfile(archive):
            raise Refusal(f"bluegreen_source: {archive} is not on this host.")
        if source.checksum:
            _archive.verify(archive, source.checksum, source.name)
        content = f"{draft}/content"
        os.mkdir(content, 0o755)
        entries = _fill(wish, pristine, source, archive, draft, link=not build.command or build.in_slot)
        stamps = _tree.stamps(entries, content)
        _configuration.write(configuration, content)
        if build.command and not build.in_slot:
            os.chmod(draft, 0o711)
            _users.give(content, wish.program.user)
            _build.run(wish, build, content, environment, f"release {wish.release}")
            _users.give(content, "")
            _check_command(wish, content, source)
        elif not build.in_slot:
            _check_command(wish, content, source)
        _layout.check(wish, content)
        os.chmod(content, 0o755)
        os.rename(content, pristine.release(wish.release))
        if entries:
            pristine.write_contents(wish.release, _tree.untouched(entries, stamps, pristine.release(wish.release)))
        known: Dict[str, Any] = {"source": source.digest, "build": _build_note(build, in_slot=False), "staged": round(time.time(), 3)}
        if configuration:
            known.update(configuration=_configuration.digest(configuration), configured=[file.dest for file in configuration])
        pristine.write_record(wish.release, known)
        if entries:
            _files.write(known_path(wish.root), contents(wish), 0o600)
    except OSError as error:
        raise Refusal(f"cannot stage release {wish.release} in {pristine.path}: {error}.") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(wish: Wish, pristine: Place, source: Source, archive: str, draft: str, link: bool) -> Tuple[_manifest.Entry, ...]:
    """Put the release's files into the draft's ``content``; what the manifest says of them, where there is one."""
    what = f"release {wish.release} (one copy and one a slot)"
    content = f"{draft}/content"
    if not source.tree:
        check_space(wish.root, _archive.content_size(archive, source.name) * (1 + len(wish.places)), what)
        _archive.unpack(archive, content, source.name, source.strip)
        return ()
    came, have = f"{draft}/came", _tree.known(pristine)
    os.mkdir(came)

    def fits(entries: Sequence[_manifest.Entry]) -> None:
        new = {entry.content: entry.size for entry in entries if entry.content not in have}
        total = sum(entry.size for entry in entries)
        check_space(wish.root, total * len(wish.places) + (sum(new.values()) if link else total), what)

    entries = _tree.receive(archive, came, source.name, source.tree, fits)
    _tree.build(entries, came, have, content, link)
    return entries


def _fetch(url: str, to: str, name: str) -> str:
    """Download ``url``; the environment's proxies are used, credentials in the URL are not shown."""
    try:
        with urllib.request.build_opener().open(url, timeout=30) as answer, open(to, "wb") as file:  # its scheme was checked by preflight
            shutil.copyfileobj(answer, file, 1 << 20)
            length = answer.headers.get("Content-Length")
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise Refusal(f"cannot fetch {name}: {getattr(error, 'reason', None) or error}") from None
    if length is not None and os.path.getsize(to) != int(length):
        raise Refusal(f"cannot fetch {name}: {os.path.getsize(to)} of {length} bytes came.")
    return to


def _check_command(wish: Wish, content: str, source: Optional[Source]) -> None:
    """A command that means the release's own must be there and executable, or the swap would find out on a member."""
    for name, command in (("bluegreen_command", wish.program.command), *((job.label, job.command) for job in wish.jobs)):
        own = _program.own_command(command)
        if own:
            _check_own(wish, content, source, name, own)


def _check_own(wish: Wish, content: str, source: Optional[Source], name: str, own: str) -> None:
    path = os.path.join(content, own)
    if not os.path.exists(path):
        inner = os.listdir(content)
        hint = (
            f" It is below {inner[0]}/: set bluegreen_source's strip to 1."
            if source and len(inner) == 1 and os.path.exists(os.path.join(content, inner[0], own))
            else ""
        )
        raise Refusal(f"{name}: release {wish.release} has no {own}.{hint}")
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise Refusal(f"{name}: {own} of release {wish.release} is not an executable file.")


def _copy_to_slot(wish: Wish, pristine: Place, slot: SlotPlace, build: Build, environment: Mapping[str, str]) -> bool:
    """The slot's own copy, the service's user's, with its links to what is shared; built in place if wished (a virtual environment knows its path)."""
    release = wish.release
    if slot.record(release):
        return False
    record = {"build": _build_note(build, in_slot=True), "layout": wish.layout.shown, "staged": round(time.time(), 3)}
    final = slot.release(release)
    if slot.current == release and os.path.isdir(final):  # an earlier record was lost; the code runs
        slot.write_record(release, record)
        return True
    draft = f"{slot.path}/.staging-{release}"
    try:
        _copies.copy(pristine.release(release), draft, *_users.owner(wish.program.user))
        _layout.apply(wish, pristine.release(release), draft)
        os.rename(draft, final)
        if build.command and build.in_slot:
            own = {**environment, **_program.slot_variables(wish.member(slot.slot), wish.service)}
            _build.run(wish, build, final, own, f"release {release} in slot {slot.slot}")
            _check_command(wish, final, None)
        _layout.seal(wish, final, pristine.record(release).get("configured", ()))
        slot.write_record(release, record)
    except OSError as error:
        raise Refusal(f"cannot copy release {release} to slot {slot.slot}: {error}.") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if not slot.record(release):
            shutil.rmtree(final, ignore_errors=True)
    return True


def would_wait(wish: Wish, environment: Mapping[str, str]) -> Tuple[str, ...]:
    """The slots whose running release would get another start: what staging would leave to the swap. Writes nothing."""
    places = [SlotPlace(wish.root, member.slot) for member in wish.places]
    return tuple(
        place.slot
        for place in places
        if place.current == wish.release
        and _files.read(place.start_path(wish.release))
        != _program.start_script(wish, wish.member(place.slot), environment, wish.release, _users.home(wish.program.user))
    )


def _write_start(wish: Wish, slot: str, environment: Mapping[str, str]) -> bool:
    """Write the release's start in the slot; where the running one would change, beside it, for the swap to take."""
    place = SlotPlace(wish.root, slot)
    text = _program.start_script(wish, wish.member(slot), environment, wish.release, _users.home(wish.program.user))
    waiting = place.start_path(wish.release, ".next-")
    uid, gid = _users.owner(wish.program.user)
    if _files.read(place.start_path(wish.release)) == text:
        return _remove(waiting)
    path = waiting if place.current == wish.release else place.start_path(wish.release)
    return _files.write(path, text, 0o700, uid, gid)


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
