#!/bin/sh
# Installs, from Debian's packages, the programs that `go test -bench . ./bench` compares with and drives load with (nginx, HAProxy,
# wrk, h2load), and those that tests look at it with (strace, openssl, curl, sslscan, chromium, prometheus) and would be skipped without.
# May be run again; changes nothing when all is there. Needs root.
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

# Debian starts a service as it installs it; the benchmarks start their own. One that was here before is left alone.
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
