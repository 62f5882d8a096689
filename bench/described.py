"""An EC2 that answers DescribeInstances and nothing else, from pages made before: what it costs itself is next to nothing.

`python -m bench.described N` prints its address, and serves N instances of runs until its standard input ends. Each is written
as EC2 writes one (Amazon EC2 API Reference, "Instance"), with the tags that the controller and the agent put on it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State
from runctl_agent.contract.tags import DESTINATION, OWNER, PROJECT, RUN, encode

LARGEST = 1000
"""Instances of a page, as EC2 has it ("MaxResults", DescribeInstances)."""

BEGAN = 1_795_456_000
"""The launch of the first of them, in seconds since the epoch: 2026-11-23."""

INSTANCE = """<item><instanceId>{id}</instanceId><imageId>ami-0123456789abcdef0</imageId><instanceState><code>16</code>\
<name>running</name></instanceState><privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName><dnsName/><reason/><keyName>key\
</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>g5.xlarge</instanceType><launchTime>2026-11-23T17:46:40\
.000Z</launchTime><placement><availabilityZone>us-east-1a</availabilityZone><groupName/><tenancy>default</tenancy></placement>\
<monitoring><state>disabled</state></monitoring><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId><privateIpAddress>10.0.0.1\
</privateIpAddress><sourceDestCheck>true</sourceDestCheck><groupSet><item><groupId>sg-1</groupId><groupName>default</groupName>\
</item></groupSet><architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/sda1\
</rootDeviceName><blockDeviceMapping><item><deviceName>/dev/sda1</deviceName><ebs><volumeId>vol-1</volumeId><status>attached\
</status><attachTime>2026-11-23T17:46:41.000Z</attachTime><deleteOnTermination>true</deleteOnTermination></ebs></item>\
</blockDeviceMapping><virtualizationType>hvm</virtualizationType><clientToken>{id}</clientToken><tagSet>{tags}</tagSet>\
<hypervisor>xen</hypervisor><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId><subnetId>subnet-1</subnetId>\
<vpcId>vpc-1</vpcId><status>in-use</status><macAddress>02:00:00:00:00:01</macAddress><privateIpAddress>10.0.0.1</privateIpAddress>\
<sourceDestCheck>true</sourceDestCheck><attachment><attachmentId>eni-attach-1</attachmentId><deviceIndex>0</deviceIndex><status>\
attached</status><deleteOnTermination>true</deleteOnTermination></attachment></item></networkInterfaceSet><ebsOptimized>false\
</ebsOptimized><enaSupport>true</enaSupport><cpuOptions><coreCount>2</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>\
<metadataOptions><state>applied</state><httpTokens>required</httpTokens><httpEndpoint>enabled</httpEndpoint>\
<instanceMetadataTags>enabled</instanceMetadataTags></metadataOptions></item>"""


def instance(number: int) -> str:
    run, instance_id = f"run-{number:05d}", f"i-{number:017x}"
    state = State(
        run,
        Phase.TRAINING,
        instance_id,
        boot_time=BEGAN + 10,
        generation=17,
        heartbeat=BEGAN + 3600,
        agent_version="0.1.0",
        epoch=1,
        attempt=1,
        checkpoint=f"checkpoint-{number}",
        step=number,
        committed_at=BEGAN + 3500,
        commits=9,
        train_step=number + 40,
        loss=2.718,
        gpu=97,
        cpu=190,
        rss=8 << 30,
        disk_free=100 << 30,
        details=("training: the training process is alive",),
    )
    own = {"Name": run, RUN: run, PROJECT: "gpt2", OWNER: "ann", DESTINATION: "s3://bucket/runs", "runctl:version": "0.1.0"}
    tags = {**own, **encode(state, "a", BEGAN + 3600)}
    items = "".join(f"<item><key>{key}</key><value>{escape(value)}</value></item>" for key, value in tags.items())
    return INSTANCE.format(id=instance_id, tags=items)


def pages(number: int, size: int = LARGEST) -> Iterator[bytes]:
    """The answers, each with the number of the page after it as its token."""
    for begin in range(0, number, size):
        items = "".join(
            f"<item><reservationId>r-{one:017x}</reservationId><ownerId>123456789012</ownerId><groupSet/>"
            f"<instancesSet>{instance(one)}</instancesSet></item>"
            for one in range(begin, min(begin + size, number))
        )
        token = f"<nextToken>{begin // size + 1}</nextToken>" if begin + size < number else ""
        yield (
            '<?xml version="1.0" encoding="UTF-8"?><DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            f"<requestId>1</requestId><reservationSet>{items}</reservationSet>{token}</DescribeInstancesResponse>"
        ).encode()


def serve(number: int) -> None:
    made = list(pages(number))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            known = form["Action"] == ["DescribeInstances"]
            body = made[int(form.get("NextToken", ["0"])[0])] if known else b"<Response><Errors/></Response>"
            self.send_response(200 if known else 400)
            self.send_header("Content-Type", "text/xml;charset=UTF-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


@contextmanager
def served(number: int) -> Iterator[str]:
    """Its address, as long as the context lasts."""
    argv = [sys.executable, "-m", "bench.described", str(number)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
