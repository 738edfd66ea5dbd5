#!/bin/sh
# As the upstream image's: not as root.
set -eu
if [ "$(id -u)" = 0 ]; then
    chown rabbitmq /var/lib/rabbitmq
    exec gosu rabbitmq "$0" "$@"
fi
exec "$@"
