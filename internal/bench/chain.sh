#!/bin/sh
# Unpacks Debian's OpenDKIM and OpenDMARC with their libraries into a folder of
# its own, for `make bench` to measure beside dmarcgate. As a package OpenDMARC
# would install a client of MySQL, and both would start as services. Nothing is
# set up, and nothing of the system changes.
#
#	chain.sh FOLDER	makes FOLDER/current
#
# With everything there it does nothing. Without the packages it says so and
# fails; `make bench` then goes on without the chain.
set -eu

folder=$(realpath -m "$1")
new=$folder/new
[ ! -x "$folder/current/usr/sbin/opendmarc" ] || exit 0

packages='opendkim opendmarc libopendkim11 libopendmarc2 libspf2-2 libmilter1.0.1
	liblua5.3-0 libmemcached11 libhashkit2 libopendbx1 librbl1 libvbr2 libunbound8 libbsd0 libmd0 liblmdb0'

# fetch downloads the packages, once more with fresh lists when that fails.
fetch() {
	# shellcheck disable=SC2086 # one word per package
	apt-get -qq -o APT::Sandbox::User=root download $packages >/dev/null
}

rm -rf "$new"
mkdir -p "$new/root"
cd "$new"
fetch || { apt-get -qq update && fetch; } || {
	echo "chain.sh: OpenDKIM and OpenDMARC could not be fetched; the bench goes on without them" >&2
	exit 1
}
for deb in *.deb; do
	dpkg-deb -x "$deb" root
done
rm -rf "$folder/current"
mv root "$folder/current"
cd "$folder"
rm -rf "$new"
