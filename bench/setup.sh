#!/bin/sh
# Installs, from Debian's packages, the proxies and load generators that `go test -bench . ./bench` uses (nginx, HAProxy, wrk, h2load),
# and the programs without which some tests are skipped (strace, openssl, curl, sslscan, chromium, prometheus).
# It may be run again, and changes nothing if everything is installed. Requires root.
set -eu

packages="nginx libnginx-mod-stream haproxy wrk nghttp2-client strace openssl curl sslscan chromium prometheus"

if [ "$(id -u)" -ne 0 ]; then
    echo "bench/setup.sh: needs root (it runs apt-get install $packages)" >&2
    exit 1
fi

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=
for p in $packages; do
    installed "$p" || missing="$missing $p"
done
if [ -z "$missing" ]; then
    echo "bench/setup.sh: nothing to do, installed already: $packages"
    exit 0
fi

apt-get update
# shellcheck disable=SC2086 # a list of package names
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing

# Debian starts a service when it installs it, but the benchmarks start their own. Services installed before are left alone.
for s in nginx haproxy prometheus; do
    case " $missing " in
    *" $s "*)
        if [ -d /run/systemd/system ]; then
            systemctl disable --now "$s"
        else
            service "$s" stop || true
        fi
        ;;
    esac
done
echo "bench/setup.sh: installed:$missing"
