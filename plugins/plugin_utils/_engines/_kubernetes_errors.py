# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kubernetes, or the way to it, said no with: a sentence for the person on call. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SAID = re.compile(r'\\?"message\\?":\s*\\?"((?:[^"\\]|\\\\?.)*?)\\?",\s*\\?"')
_FORBIDDEN = re.compile(
    r'User "(?P<who>[^"]*)" cannot (?P<verb>\w+) resource "(?P<what>[^"]*)"(?: in API group "(?P<group>[^"]*)")?(?: in the namespace "(?P<where>[^"]*)")?'
)
_HOST = re.compile(r"host='?(?P<host>[^',]+)'?,\s*port=(?P<port>\d+)")


def sentence(text: str, what: str) -> str:
    """``what`` was being done when a module failed with ``text``."""
    said = message(text)
    for known in (_forbidden, _unreachable, _refused):
        if found := known(said, text):
            return f"{what}: {found}"
    return f"{what}: Kubernetes said: {said}"


def message(text: str) -> str:
    """The API's own message within what a module says."""
    found = _SAID.search(text)
    return re.sub(r"\\+([\"'\\])", r"\1", found.group(1)) if found else text.strip()


def _forbidden(said: str, text: str) -> str:
    if found := _FORBIDDEN.search(said):
        return right(found["who"], found["verb"], found["what"], found["group"] or "", found["where"] or "")
    if "Unauthorized" in said:
        return "Kubernetes does not know who asks (401 Unauthorized); the kubeconfig's user, token or certificate has ended or is another cluster's."
    return ""


def right(who: str, verb: str, what: str, group: str, where: str) -> str:
    """A missing right, and the rule that gives it."""
    rule = f'{{apiGroups: ["{group}"], resources: ["{what}"], verbs: ["{verb}"]}}'
    place = f"in namespace {where}" if where else "in the cluster"
    return f"{who or 'the user'} may not {verb} {what} {place}; add to its {'Role' if where else 'ClusterRole'} the rule {rule}."


def _unreachable(said: str, text: str) -> str:
    """What is no answer of Kubernetes at all."""
    host = _HOST.search(text)
    where = f"{host['host']}:{host['port']}" if host else "the API server"
    for sign, meaning in (
        ("Connection refused", f"nothing listens at {where}; see whether the cluster runs, and whether the kubeconfig and its context are the right ones."),
        ("CERTIFICATE_VERIFY_FAILED", f"the certificate of {where} is not of the authority that the kubeconfig names; is it another cluster's?"),
        ("Name or service not known", f"there is no host of that name: {where}; see the kubeconfig's server."),
        ("timed out", f"{where} does not answer; see the network between this host and the cluster."),
        ("No route to host", f"there is no way to {where}; see the network between this host and the cluster."),
        ("Expected object with name", f"{_after(said, 'Invalid kube-config file. ')}; set bluegreen_kubernetes: context to one that the kubeconfig has."),
        ("Invalid kube-config", "there is no kubeconfig that can be used; set bluegreen_kubernetes: kubeconfig, or K8S_AUTH_KUBECONFIG or ~/.kube/config."),
        ("Failed to import the required Python library (kubernetes)", "its Python has no library kubernetes; install it there: pip install kubernetes."),
    ):
        if sign in text:
            return meaning
    return ""


def _after(text: str, mark: str) -> str:
    return text.partition(mark)[2].strip().splitlines()[0].rstrip(".") if mark in text else text


def _refused(said: str, text: str) -> str:
    """What the API server has looked at and does not take."""
    if found := re.search(r'namespaces "([^"]+)" not found', said):
        return f"there is no namespace {found[1]}; create it (kubectl create namespace {found[1]}), or set bluegreen_kubernetes: namespace."
    if found := re.search(r"nodePort: Invalid value: (\d+): provided port is already allocated", said):
        return f"node port {found[1]} is taken by another Service; choose another one in bluegreen_kubernetes: node_ports."
    if found := re.search(r"nodePort: Invalid value: (\d+): (.*range.*)", said):
        return f"node port {found[1]} is none of the cluster's ({found[2].rstrip(')')}); choose another one in bluegreen_kubernetes: node_ports."
    if "exceeded quota" in said:
        return f"the namespace's quota does not allow it: {said.partition('exceeded quota: ')[2] or said}."
    return ""


def missing_rights(review: Mapping[str, Any], rules: tuple[Mapping[str, Any], ...], namespace: str) -> list[str]:
    """Of the rights in ``rules`` those that the answer to a SelfSubjectRulesReview does not have, a sentence each resource.

    An answer that calls itself incomplete, as those of some webhook authorizers, proves nothing: [] then.
    """
    status = review.get("status") or {}
    if status.get("incomplete") or not status.get("resourceRules"):
        return []

    def allowed(group: str, what: str, verb: str) -> bool:
        def has(values: Any, value: str) -> bool:
            return "*" in (values or ()) or value in (values or ())

        return any(
            has(rule.get("apiGroups"), group) and has(rule.get("resources"), what) and has(rule.get("verbs"), verb) and not rule.get("resourceNames")
            for rule in status["resourceRules"]
        )

    found = []
    for rule in rules:
        group = rule["apiGroups"][0]
        for what in rule["resources"]:
            if lacks := [verb for verb in rule["verbs"] if not allowed(group, what, verb)]:
                verbs = ", ".join(lacks)
                say = f'{{apiGroups: ["{group}"], resources: ["{what}"], verbs: [{verbs}]}}'
                found.append(f"The kubeconfig's user may not {verbs} {what} in namespace {namespace}; add to its Role the rule {say}.")
    return found
