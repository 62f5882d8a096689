"""What neither moto nor anything else answers: the price list, Service Quotas, and STS' decoding. The protocol is AWS's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

Answer = tuple[int, Mapping[str, Any]]


@dataclass
class Aside:
    """`prices` on demand by type, `quotas` by code, both USD and vCPUs; what is not in them is not found. `asked` by whom."""

    endpoint: str = ""
    prices: dict[str, float] = field(default_factory=dict)
    quotas: dict[str, float] = field(default_factory=dict)
    decoded: Mapping[str, Any] | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        return {f"AWS_ENDPOINT_URL_{name}": self.endpoint for name in ("PRICING", "SERVICE_QUOTAS")}

    def answer(self, action: str, given: Mapping[str, Any]) -> Answer:
        self.asked.append(action)
        if action == "GetProducts":
            wanted = {one["Field"]: one["Value"] for one in given["Filters"]}
            price = self.prices.get(wanted["instanceType"])
            return 200, {"FormatVersion": "aws_v1", "PriceList": [] if price is None else [json.dumps(_product(price))]}
        limit = self.quotas.get(given["QuotaCode"])
        if limit is None:
            return 400, {"__type": "NoSuchResourceException", "Message": "there is none"}
        return 200, {"Quota": {"QuotaCode": given["QuotaCode"], "Value": limit}}

    def sts(self, given: Mapping[str, list[str]]) -> tuple[int, str]:
        self.asked.append(given["Action"][0])
        if self.decoded is None:
            error = "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error>"
            return 403, f"<ErrorResponse>{error}</ErrorResponse>"
        said = json.dumps(self.decoded).replace("&", "&amp;").replace("<", "&lt;")
        name = "DecodeAuthorizationMessage"
        return 200, f"<{name}Response><{name}Result><DecodedMessage>{said}</DecodedMessage></{name}Result></{name}Response>"


def _product(price: float) -> Mapping[str, Any]:
    """As GetProducts writes one (AWS Price List Query API Reference): a reservation of 0 USD stands beside the price."""
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": f"{price:.10f}"}}
    return {"terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension, "A.B.D": {"pricePerUnit": {"USD": "0.0"}}}}}}}


def _handler(aside: Aside) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target = self.headers.get("X-Amz-Target", "")
            if target:
                status, plain = aside.answer(target.rpartition(".")[2], json.loads(body))
                kind, content = "application/x-amz-json-1.1", json.dumps(plain).encode()
            else:
                status, text = aside.sts(parse_qs(body.decode()))
                kind, content = "text/xml", text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            pass

    return Handler


@contextmanager
def aside(**what: Any) -> Iterator[Aside]:
    found = Aside(**what)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
