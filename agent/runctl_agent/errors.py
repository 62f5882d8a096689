"""Every error says what happened to what, why, and what mends it.

RunctlError
├── UsageError          exit 2
├── ConfigError         exit 3
├── RefusedError        exit 4   AWS refused: credentials, rights, quota, capacity
├── NotFoundError       exit 5
├── WrongStateError     exit 6
│   └── Occupied                 something else stands where a checkpoint would be restored
├── TimedOutError       exit 7
├── SourceChanged       exit 6   what was staged or being sent is no longer what was finished
├── DiskShort           exit 6   less than staging.keep_free would be left on a disk
├── JournalError        exit 6   the journal can't be used
├── ImdsUnavailable     exit 7   the instance metadata service throttles or fails: back off and try again
├── StoreError          exit 6   S3 said no, or nothing; `permanent` tells whether retrying can mend it
│   ├── StoreUnavailable exit 7  no answer, a 5xx, a reset: try again
│   │   └── SlowDown             503 SlowDown: with less concurrency
│   ├── PreconditionFailed       412, or 409 on a conditional write: read back and decide
│   ├── BadChecksum              the bytes that arrived are not the bytes that were sent
│   ├── NoSuchUpload             the multipart upload is gone
│   ├── CommitConflict permanent another writer's manifest stands where ours would go
│   ├── Fenced        permanent  a writer with a higher epoch has this run
│   └── StoreRefused  permanent  exit 4; denied, KMS key, what this S3 does not do
│       └── StoreUnusable        no matter of one right: expired or missing credentials, no bucket, wrong region, certificate
└── TagError            exit 7   EC2 tags
    ├── TagsUnavailable          no answer, or a 5xx: try again
    ├── TagsThrottled            RequestLimitExceeded: back off
    └── TagsRefused   permanent  exit 4; denied
        └── TagsFull  permanent  50 tags are there already
"""

from __future__ import annotations


class RunctlError(Exception):
    """Base of all. `what` happened to what, `why`, and `mend`: the command or change that mends it."""

    exit_code = 1

    def __init__(self, what: str, why: str = "", mend: str = "") -> None:
        super().__init__(what, why, mend)
        self.what = what
        self.why = why
        self.mend = mend

    def __str__(self) -> str:
        text = self.what
        if self.why:
            text += f":{self.why}" if self.why.startswith("\n") else f": {self.why}"
        return text

    @property
    def full(self) -> str:
        """All three parts, one per line, for people."""
        lines = [str(self)]
        if self.mend:
            lines.append(f"  mend: {self.mend}")
        return "\n".join(lines)


class UsageError(RunctlError):
    exit_code = 2


class ConfigError(RunctlError):
    exit_code = 3


class RefusedError(RunctlError):
    exit_code = 4


class NotFoundError(RunctlError):
    exit_code = 5


class WrongStateError(RunctlError):
    exit_code = 6


class Occupied(WrongStateError):
    """Nothing was overwritten."""


class TimedOutError(RunctlError):
    exit_code = 7


class SourceChanged(RunctlError):
    """The trainer changed or removed what was being read; the snapshot is dropped and the new content goes."""

    exit_code = 6


class GaveWay(RunctlError):
    """What was being sent waits for something else; its parts stay sent."""


class DiskShort(RunctlError):
    """Nothing was written; the oldest superseded snapshot is let go before the next try."""

    exit_code = 6


class JournalError(RunctlError):
    """The journal can't be opened, or another one is using it."""

    exit_code = 6


class ImdsUnavailable(RunctlError):
    exit_code = 7


class StoreError(RunctlError):
    exit_code = 6
    permanent = False


class StoreUnavailable(StoreError):
    """Also raised when the answer was lost: the write may have landed."""

    exit_code = 7


class SlowDown(StoreUnavailable):
    pass


class PreconditionFailed(StoreError):
    pass


class BadChecksum(StoreError):
    pass


class NoSuchUpload(StoreError):
    pass


class CommitConflict(StoreError):
    """Nothing was overwritten; the data that was sent stays where it is."""

    permanent = True


class Fenced(StoreError):
    """Manifests may still be committed under the lower epoch; nothing else may be written."""

    permanent = True


class StoreRefused(StoreError):
    exit_code = 4
    permanent = True


class StoreUnusable(StoreRefused):
    """Every other call would only be told the same."""


class TagError(RunctlError):
    exit_code = 7
    permanent = False


class TagsUnavailable(TagError):
    pass


class TagsThrottled(TagError):
    pass


class TagsRefused(TagError):
    exit_code = 4
    permanent = True


class TagsFull(TagsRefused):
    pass


class GroupError(RunctlError):
    """Auto Scaling did not do what it was asked."""

    exit_code = 7
    permanent = False


class GroupRefused(GroupError):
    exit_code = 4
    permanent = True
