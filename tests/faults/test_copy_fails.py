"""A part that an earlier checkpoint has can't be copied inside S3, in whatever way: then it is sent."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.proxy import Proxy, answer, answer_after, hang, lose
from tests.e2e.seaweed import S3
from tests.e2e.wired import PART, Wired

COPY = "UploadPartCopy"
FAULTS = {
    "denied": answer(403, "AccessDenied", COPY),
    "not-there": answer(404, "NoSuchKey", COPY),
    "changed": answer(412, "PreconditionFailed", COPY),
    "not-implemented": answer(501, "NotImplemented", COPY),
    "internal-error": answer(500, "InternalError", COPY),
    "error-in-a-200": answer_after(200, "InternalError", COPY),
    "lost": lose(COPY),
    "hangs": hang(COPY),
}


def test_it_is_sent_instead(tmp_path: Path, s3: S3, proxy: Proxy) -> None:
    """Each differs from the one before in its last part alone."""
    wired = Wired(tmp_path, s3, proxy, read_timeout=0.5)
    body = os.urandom(PART + 1000)
    with wired.running() as process:
        for name, fault in (("first", None), *FAULTS.items(), ("last", None)):
            proxy.set(*([] if fault is None else [fault]), anew=True)
            body = body[:PART] + os.urandom(1000)
            wired.save_folder(name, body)
            wired.durable(process)
            sent, copied = ({one.part for one in proxy.seen(operation)} for operation in ("UploadPart", COPY))
            if name == "last":
                assert (sent, copied) == ({2}, {1}), name
            else:
                assert (sent, copied) == ({1, 2}, {1} if fault else set()), name
    wired.arrived()
