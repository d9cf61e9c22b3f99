#!/bin/sh
# Fills the root folder of the container image from this checkout:
#
#	rootfs.sh FOLDER
#
# The folder holds the static binary, a user, certificates of authorities for
# connections to PostgreSQL, and empty folders. It has no shell and no library.
# VERSION in the environment is the version of the binary.
set -eu

root=$1
certificates=/etc/ssl/certs/ca-certificates.crt
mkdir -p "$root"
root=$(cd "$root" && pwd)
cd "$(dirname "$0")/../.."
mkdir -p "$root/usr/sbin" "$root/etc/dmarcgate/rules.d" "$root/etc/ssl/certs" "$root/var/lib/dmarcgate" "$root/tmp"
chmod 1777 "$root/tmp"
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION:-devel}" -o "$root/usr/sbin/dmarcgate" ./cmd/dmarcgate
[ ! -e "$certificates" ] || cp "$certificates" "$root/etc/ssl/certs/"
echo "dmarcgate:x:65532:65532:DMARC gate:/var/lib/dmarcgate:/usr/sbin/nologin" >"$root/etc/passwd"
echo "dmarcgate:x:65532:" >"$root/etc/group"
