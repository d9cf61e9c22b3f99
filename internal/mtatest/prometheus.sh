#!/bin/sh
# Unpacks Debian's prometheus and promtool into a folder of its own, for the tests of the
# dashboard and of the alerts: as a package it would start a service. Nothing is set up,
# and nothing of the system changes.
#
#	prometheus.sh FOLDER	makes FOLDER/current
#
# With everything there it does nothing.
set -eu

folder=$1
[ ! -x "$folder/current/usr/bin/promtool" ] || exit 0

fetch() { apt-get -qq -o APT::Sandbox::User=root download prometheus >/dev/null; }

mkdir -p "$folder"
exec 9<"$0"
flock 9
[ ! -x "$folder/current/usr/bin/promtool" ] || exit 0
new=$(realpath -m "$folder")/new
rm -rf "$new"
mkdir -p "$new/root"
cd "$new"
fetch || { apt-get -qq update && fetch; } || {
	echo "prometheus.sh: prometheus could not be fetched" >&2
	exit 1
}
dpkg-deb -x ./*.deb root
rm -rf ../current
mv root ../current
rm -rf "$new"
