"""The server's end of a WebRTC call: the page over HTTPS on port 443, and aiortc as the peer that it calls.

usage: server.py ADDRESS CERTIFICATE KEY PAGE REPORT

REPORT is a file of JSON with what both ends saw of the latest call; it is replaced as a whole, again and again.
"""

import asyncio
import json
import math
import os
import ssl
import struct
import sys
from array import array

import aioice.ice
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack


class Tone(AudioStreamTrack):
    """A tone of 400 Hz: whole periods in each frame of 20 ms."""

    async def recv(self):
        frame = await super().recv()
        turn = 2 * math.pi * 400 / frame.sample_rate
        samples = (int(8000 * math.sin(turn * i)) for i in range(frame.samples))
        frame.planes[0].update(struct.pack(f"<{frame.samples}h", *samples))
        return frame


class Call:
    """A call that a browser began."""

    def __init__(self):
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTrack(Tone())
        self.connection.on("track", self.listen)
        self.loudest = 0

    async def listen(self, track):
        """Hears the browser out; `loudest` is an amplitude of at most 32768."""
        while True:
            frame = await track.recv()
            # The plane is longer than what was decoded into it.
            heard = array("h", bytes(frame.planes[0]))[: frame.samples * len(frame.layout.channels)]
            self.loudest = max(self.loudest, *map(abs, heard))

    async def answer(self, offer):
        await self.connection.setRemoteDescription(RTCSessionDescription(**offer))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        answer = self.connection.localDescription
        return {"type": answer.type, "sdp": answer.sdp}

    async def seen(self):
        """What this end saw so far."""
        streams = (await self.connection.getStats()).values()
        received = [stream for stream in streams if stream.type == "inbound-rtp"]
        return {
            "state": self.connection.connectionState,
            "local": self.endpoint("local_candidate"),
            "remote": self.endpoint("remote_candidate"),
            "packets": sum(stream.packetsReceived for stream in received),
            "lost": sum(stream.packetsLost for stream in received),
            "loudest": self.loudest,
        }

    def endpoint(self, side):
        """One side of the pair of candidates that is in use."""
        ice = self.connection.getTransceivers()[0].receiver.transport.transport
        for pair in ice._connection._nominated.values():
            candidate = getattr(pair, side)
            return {"address": candidate.host, "port": candidate.port, "type": candidate.type}
        return None


def serve(address, page, report):
    """The web application: the page, calls, and what the browser says of them."""
    calls = []

    async def show(_request):
        return web.FileResponse(page)

    async def offer(request):
        calls.append(Call())
        return web.json_response(await calls[-1].answer(await request.json()))

    async def stats(request):
        seen = {"browser": await request.json(), "server": await calls[-1].seen() if calls else None}
        with open(report + ".new", "w") as file:
            json.dump(seen, file)
        os.replace(report + ".new", report)
        return web.json_response({})

    application = web.Application()
    application.add_routes([web.get("/", show), web.post("/offer", offer), web.post("/stats", stats)])
    return application


def main(address, certificate, key, page, report):
    # The machine has other addresses, which are other hosts of the internet.
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [address]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(certificate, key)
    loop = asyncio.new_event_loop()
    web.run_app(serve(address, page, report), host=address, port=443, ssl_context=tls, loop=loop)


if __name__ == "__main__":
    main(*sys.argv[1:])
