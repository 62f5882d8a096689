"""A store that answers 404 where there is nothing to delete: Google's and others' do, S3 answers 204."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runctl_agent.contract.keys import Keys
from runctl_agent.errors import StoreRefused
from runctl_agent.store.retain import try_to_delete
from runctl_agent.store.s3 import S3Store


class _Answers(BaseHTTPRequestHandler):
    code = "NoSuchKey"

    def do_DELETE(self) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>The specified thing does not exist.</Message></Error>".encode()
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        with closing(S3Store("bucket", region="us-east-1")) as store:
            yield store
        server.shutdown()


def test_it_is_no_error(store: S3Store) -> None:
    """Else the trial of the right to delete would end the sender's task, and with it every upload."""
    try_to_delete(store, Keys("team", "run"))
    store.abort_multipart("team/run/data/a", "upload")


def test_that_the_bucket_is_missing_is_one(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Answers, "code", "NoSuchBucket")
    with pytest.raises(StoreRefused):
        try_to_delete(store, Keys("team", "run"))
