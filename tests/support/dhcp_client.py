"""Asks for an address by DHCP, as the guest behind a network card would: run it inside a private host.

The boot-sector guests have no network stack, so this speaks for one of them: through an interface that carries the
guest's MAC address. Prints the address that it was given.

    python3 dhcp_client.py INTERFACE MAC HOSTNAME

Effects: sends DHCP messages on the named interface
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import sys
import time

DISCOVER, OFFER, REQUEST, ACKNOWLEDGED = 1, 2, 3, 5
COOKIE = b"\x63\x82\x53\x63"
SECONDS_MAX = 20.0
SECONDS_BETWEEN = 0.2
"""Between two tries: a bridge may not forward at once, and a first lookup of a server takes its time."""


def message(kind: int, transaction: bytes, mac: bytes, options: bytes) -> bytes:
    """A BOOTP request with DHCP options; asks for the answer by broadcast, since it has no address yet."""
    head = struct.pack("!BBBB4sHH", 1, 1, 6, 0, transaction, 0, 0x8000)
    body = bytes(16) + mac + bytes(10) + bytes(192)
    return head + body + COOKIE + bytes((53, 1, kind)) + options + b"\xff"


def option(data: bytes, wanted: int) -> bytes:
    """One option of an answer, empty when it is not there."""
    place = 240
    while place < len(data) and data[place] != 255:
        if data[place] == 0:
            place += 1
            continue
        number, size = data[place], data[place + 1]
        if number == wanted:
            return data[place + 2 : place + 2 + size]
        place += 2 + size
    return b""


def packet(mac: bytes, payload: bytes) -> bytes:
    """The payload as a frame to everybody from an address of nobody: Ethernet, IP and UDP around it."""
    datagram = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    header = header[:10] + struct.pack("!H", checksum) + header[12:]
    return b"\xff" * 6 + mac + b"\x08\x00" + header + datagram


def lease(interface: str, mac: bytes, hostname: str) -> str:
    """Get an address for this MAC. Whole frames, because the server's own kernel would drop an answer to itself."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as line:
        line.bind((interface, 0))
        line.settimeout(SECONDS_BETWEEN)
        deadline = time.monotonic() + SECONDS_MAX
        transaction = secrets.token_bytes(4)
        name = bytes((12, len(hostname))) + hostname.encode()

        def answer(kind: int, options: bytes, wanted: int) -> bytes:
            while time.monotonic() < deadline:
                line.send(packet(mac, message(kind, transaction, mac, options + name)))
                with contextlib.suppress(TimeoutError):
                    while True:
                        data = line.recv(2048)[42:]
                        if data[4:8] == transaction and option(data, 53) == bytes((wanted,)):
                            return data
            raise SystemExit(f"no answer by DHCP on {interface} within {SECONDS_MAX:.0f} s")

        offer = answer(DISCOVER, b"", OFFER)
        chosen = bytes((50, 4)) + offer[16:20] + bytes((54, 4)) + option(offer, 54)
        return socket.inet_ntoa(answer(REQUEST, chosen, ACKNOWLEDGED)[16:20])


if __name__ == "__main__":
    print(lease(sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), sys.argv[3]))
