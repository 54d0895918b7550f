"""An HTTP server on asyncio's streams, for the matrix: yields, logs, yields, answers with the request's marker.

    python3 asyncio-http.py PORT LOG
"""
import asyncio
import os
import re
import sys

PORT, LOG = int(sys.argv[1]), sys.argv[2]
MARKER = re.compile(rb"X-Marker: (\S+)\r\n")
journal = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            marker = MARKER.search(head).group(1)
            await asyncio.sleep(0)
            os.write(journal, marker + b" was read\n")
            await asyncio.sleep(0)
            body = b"answer to " + marker + b"\n"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    async with server:
        await server.serve_forever()


asyncio.run(main())
