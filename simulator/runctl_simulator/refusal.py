"""How EC2 and Auto Scaling say no.

Sources: "Error codes for the Amazon EC2 API" (Amazon EC2 API Reference), "Common errors" (Amazon EC2 Auto Scaling API Reference).
"""

from __future__ import annotations

import uuid
from xml.sax.saxutils import escape


class Refused(Exception):
    """A request that AWS would answer with this error code."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status

    def ec2(self) -> bytes:
        error = f"<Error><Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message></Error>"
        return f"{_XML}<Response><Errors>{error}</Errors><RequestID>{uuid.uuid4()}</RequestID></Response>".encode()

    def query(self) -> bytes:
        """The form of Auto Scaling, STS and IAM."""
        kind = "Sender" if self.status < 500 else "Receiver"
        error = f"<Error><Type>{kind}</Type><Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message></Error>"
        return f"{_XML}<ErrorResponse>{error}<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>".encode()


_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


def unauthorized(action: str) -> Refused:
    return Refused(
        "UnauthorizedOperation",
        f"You are not authorized to perform this operation. User: the simulator's is not authorized to perform: ec2:{action}",
        403,
    )
