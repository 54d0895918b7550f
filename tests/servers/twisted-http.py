"""An HTTP server on twisted.web, for the matrix: a thread of the pool logs each request, then the loop does, and answers.

    twisted-http.py PORT LOG
"""

import os
import sys

from twisted.internet import reactor, threads
from twisted.web import resource, server


class Answers(resource.Resource):
    isLeaf = True

    def __init__(self, log):
        super().__init__()
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def render_GET(self, request):
        marker = request.getHeader("X-Marker")
        done = threads.deferToThread(os.write, self.log, f"{marker} in a thread\n".encode())
        done.addCallback(self.answer, request, marker)
        return server.NOT_DONE_YET

    def answer(self, _, request, marker):
        os.write(self.log, f"{marker} answered\n".encode())
        body = f"answer to {marker}\n".encode()
        request.setHeader("Content-Length", str(len(body)))
        request.write(body)
        request.finish()


site = server.Site(Answers(sys.argv[2]))
site.log = lambda *_: None
reactor.listenTCP(int(sys.argv[1]), site, interface="127.0.0.1", backlog=128)
reactor.run()
