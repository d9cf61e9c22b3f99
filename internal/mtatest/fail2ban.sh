#!/bin/sh
# Unpacks Debian's fail2ban into a folder of its own, for the test of the filter in
# deploy/fail2ban: as a package it would start a service. Nothing is set up, and
# nothing of the system changes. The program needs python3.
#
#	fail2ban.sh FOLDER	makes FOLDER/current
#
# With everything there it does nothing.
set -eu

folder=$1
[ ! -x "$folder/current/usr/bin/fail2ban-regex" ] || exit 0

fetch() { apt-get -qq -o APT::Sandbox::User=root download fail2ban >/dev/null; }

mkdir -p "$folder"
exec 9<"$0"
flock 9
[ ! -x "$folder/current/usr/bin/fail2ban-regex" ] || exit 0
new=$(realpath -m "$folder")/new
rm -rf "$new"
mkdir -p "$new/root"
cd "$new"
fetch || { apt-get -qq update && fetch; } || {
	echo "fail2ban.sh: fail2ban could not be fetched" >&2
	exit 1
}
dpkg-deb -x ./*.deb root
rm -rf ../current
mv root ../current
rm -rf "$new"
