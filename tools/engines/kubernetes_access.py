"""Who may talk to a cluster of the bed: its authority, its server's certificate, the administrator's token, users' certificates."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tools.engines.box import EngineError


def make(folder: Path, address: str, token: str) -> None:
    """``pki`` and the administrator's ``kubeconfig`` in a cluster's folder. They belong to whoever the folder belongs to."""
    pki = folder / "pki"
    pki.mkdir(mode=0o700)
    _key(pki, "ca")
    ours = ("-subj", "/CN=bed", "-days", "2", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl(pki, "req", "-x509", "-new", "-key", "ca.key", *ours, "-out", "ca.crt")
    _certificate(pki, "server", f"subjectAltName=IP:127.0.0.1,IP:{address}")
    _key(pki, "sa")
    _write(pki / "tokens.csv", f"{token},admin,admin,system:masters\n")
    _write(folder / "kubeconfig", _kubeconfig(pki, address, {"token": token}))
    owner = folder.stat()
    for path in (pki, *pki.iterdir(), folder / "kubeconfig"):
        os.chown(path, owner.st_uid, owner.st_gid)


def user(folder: Path, address: str, name: str) -> Path:
    """The kubeconfig of somebody of this name, who may do nothing yet."""
    pki = folder / "pki"
    _certificate(pki, name, "extendedKeyUsage=clientAuth")
    path = folder / f"kubeconfig-{name}"
    _write(path, _kubeconfig(pki, address, {"client-certificate-data": _base64(pki / f"{name}.crt"), "client-key-data": _base64(pki / f"{name}.key")}))
    return path


def _key(pki: Path, name: str) -> None:
    _openssl(pki, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")


def _certificate(pki: Path, name: str, extension: str) -> None:
    _key(pki, name)
    (pki / f"{name}.ext").write_text(f"{extension}\nauthorityKeyIdentifier=keyid\n")
    _openssl(pki, "req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", f"0x{secrets.token_hex(8)}", "-days", "2", "-extfile", f"{name}.ext")
    _openssl(pki, "x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.crt")


def _openssl(folder: Path, *words: str) -> None:
    done = subprocess.run(["openssl", *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"openssl {' '.join(words)}: {done.stderr.strip()}")


def _kubeconfig(pki: Path, address: str, user: Mapping[str, str]) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "bed",
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "bed"}}],
            "clusters": [{"name": "bed", "cluster": {"server": f"https://{address}:6443", "certificate-authority-data": _base64(pki / "ca.crt")}}],
            "users": [{"name": "bed", "user": dict(user)}],
        }
    )


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write(path: Path, text: str) -> None:
    """A file that only we read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
