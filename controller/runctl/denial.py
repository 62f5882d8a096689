"""What EC2 denied, and to whom: it says so in a message that only STS can read, to whoever may ask. Pure but for `decode`.

Source: DecodeAuthorizationMessage (AWS STS API Reference): allowed, explicitDeny, context.principal, .action, .resource.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from runctl_agent.errors import RefusedError, RunctlError

ENCODED = re.compile(r"\s*Encoded authorization failure message:\s*(\S+)")

DECODE = "`aws sts decode-authorization-message --encoded-message …` tells more to whoever has sts:DecodeAuthorizationMessage"


def without_encoded(text: str) -> str:
    """The part of a message that people can read."""
    return ENCODED.sub("", text).strip()


def encoded(text: str) -> str:
    """The other part; empty: there is none."""
    found = ENCODED.search(text)
    return found[1] if found else ""


def told(error: RefusedError, message: str, decode: Callable[[str], Mapping[str, Any]]) -> RefusedError:
    """The same refusal, with the action and the resource that were really denied: of RunInstances it may be iam:PassRole.

    `error` itself where nobody may decode `message`.
    """
    try:
        found = decode(message)
        context = found["context"]
        action, resource, who = (str(part) for part in (context["action"], context["resource"], context["principal"]["arn"]))
    except (RunctlError, LookupError, TypeError):
        return error
    if found.get("explicitDeny"):
        why = f"{who} is denied {action} on {resource} by a policy that says so"
        return RefusedError(error.what, why, "a Deny goes before every Allow: whoever keeps that policy must change it")
    why = f"{who} may not {action} on {resource}: no policy allows it"
    return RefusedError(error.what, why, f"allow {action} on {resource} in the policy of {who}")
