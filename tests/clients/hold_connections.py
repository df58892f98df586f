"""Holds many TLS connections open and uses each of them whenever told to.

Usage: hold_connections.py ADDRESS PORT COUNT CA-FILE
Opens COUNT connections of HTTP/1.1 with Python's ssl and prints "open COUNT". Each line on standard input that says
"use" sends a request on every one of them and prints "answered N", the number that answered. Ends with its input.
"""

import asyncio
import resource
import ssl
import sys


async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"GET /nobody-answers-here HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await writer.drain()
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    await reader.readexactly(length)
    return head.startswith(b"HTTP/1.1 404")


async def main() -> None:
    address, port, count, authority = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    context = ssl.create_default_context(cafile=authority)
    held = []
    while len(held) < count:
        some = min(25, count - len(held))
        held += await asyncio.gather(
            *(asyncio.open_connection(address, port, ssl=context, server_hostname=address) for _ in range(some))
        )
    print("open", len(held), flush=True)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while (await lines.readline()).strip() == b"use":
        answers = await asyncio.gather(*(use(*one) for one in held), return_exceptions=True)
        print("answered", sum(answer is True for answer in answers), flush=True)


asyncio.run(main())
