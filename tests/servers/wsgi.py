"""A WSGI application for the matrix: logs each request, yields to the other threads, answers with its marker."""
import os
import time

journal = os.open(os.environ["WSGI_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def application(environ, start_response):
    marker = environ["HTTP_X_MARKER"]
    time.sleep(0)
    os.write(journal, f"{marker} is answered\n".encode())
    body = f"answer to {marker}\n".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
