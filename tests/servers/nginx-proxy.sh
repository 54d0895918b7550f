#!/bin/sh
# nginx as a reverse proxy with a keep-alive pool, in front of a second nginx: both unmodified, both judged.
#
# Each request's marker must be seen in the proxy when it reads from the client, writes to the back-end, reads from
# it, writes to the client and logs; in the back-end when it reads, writes and logs. Options: see lib.sh.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# shellcheck source-path=SCRIPTDIR source=lib-nginx.sh
. "$(dirname "$0")/lib-nginx.sh"

back_port=$(free_port)
front_port=$(free_port)
backend "$back_port"

configure proxy "$front_port" <<END
upstream backend {
        server 127.0.0.1:$back_port;
        keepalive 16;
        keepalive_requests 1000000;
    }
    server {
        listen 127.0.0.1:$front_port;
        location / {
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
END

run_nginx proxy
answers "$front_port"
drive http "$front_port"
verdict 3,3,2 "$work/proxy/access.log" "$work/backend/access.log"
