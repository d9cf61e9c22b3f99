#!/bin/sh
# Unpacks Debian's OpenDKIM and OpenDMARC with their libraries into a folder of
# its own, for `make bench` to measure beside dmarcgate. As a package OpenDMARC
# would install a client of MySQL, and both would start as services.
#
#	chain.sh FOLDER	makes FOLDER/current
#
# With everything there it does nothing. Without the packages it says so and
# fails; `make bench` then goes on without the chain.
set -eu

exec "$(dirname "$0")/../mtatest/unpack.sh" "$1" usr/sbin/opendmarc opendkim opendmarc libopendkim11 libopendmarc2 libspf2-2 libmilter1.0.1 \
	liblua5.3-0 libmemcached11 libhashkit2 libopendbx1 librbl1 libvbr2 libunbound8 libbsd0 libmd0 liblmdb0
