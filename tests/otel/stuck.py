#!/usr/bin/env python3
"""An nginx whose log is a pipe that nobody reads: sooner or later its worker is stuck in a request. Prints what
`ctxshim ps` says of the master's pid, and what a profiler sees (reader.py), one JSON object a line each.

    stuck.py COMMAND FOLDER"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time

command, folder = sys.argv[1:]
log = os.path.join(folder, "access.log")
F_SETPIPE_SZ = 1031

CONFIGURATION = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; {user}
events {{ worker_connections 64; }}
http {{
    access_log {log};
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask_until_stuck(port):
    """True: it has answered, and then it did so no longer."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            client = socket.create_connection(("127.0.0.1", port))
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    client.settimeout(2)
    answers = 0
    while time.monotonic() < deadline:
        try:
            client.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            if not client.recv(65536):
                return False
            answers += 1
        except TimeoutError:
            return client if answers > 0 else False
    return False


def main():
    os.mkfifo(log)
    unread = os.open(log, os.O_RDWR)
    fcntl.fcntl(unread, F_SETPIPE_SZ, 4096)
    port, path = free_port(), os.path.join(folder, "nginx.conf")
    user = "user root;" if os.getuid() == 0 else ""
    with open(path, "w") as file:
        file.write(CONFIGURATION.format(folder=folder, log=log, port=port, user=user))
    nginx = subprocess.Popen([command, "run", "--otel", "--", "nginx", "-p", folder, "-c", path])
    workers = []
    try:
        client = ask_until_stuck(port)
        assert client, "it does not get stuck"
        said = subprocess.run([command, "ps", "--json", str(nginx.pid)], capture_output=True, text=True, check=True)
        workers = [int(json.loads(line)["process"]) for line in said.stdout.splitlines()[1:]]
        print(said.stdout.splitlines()[-1])
        reader = os.path.join(os.path.dirname(__file__), "reader.py")
        print(subprocess.run([sys.executable, reader, str(workers[0])], capture_output=True, text=True, check=True).stdout)
    finally:
        nginx.kill()
        nginx.wait()
        for worker in workers:
            os.kill(worker, 9)


main()
