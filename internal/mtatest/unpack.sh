#!/bin/sh
# Unpacks packages of Debian into a folder of its own, for programs that a test or
# `make bench` needs: as packages they would start services. Nothing is set up, and
# nothing of the system changes.
#
#	unpack.sh FOLDER PROGRAM PACKAGE...	makes FOLDER/current, which has PROGRAM
#
# With the program there it does nothing.
set -eu

folder=$(realpath -m "$1")
program=$2
shift 2
[ ! -x "$folder/current/$program" ] || exit 0

# fetch downloads the packages, once more with fresh lists when that fails.
fetch() { apt-get -qq -o APT::Sandbox::User=root download "$@" >/dev/null; }

mkdir -p "$folder"
# Two runs at once make it once.
exec 9<"$0"
flock 9
[ ! -x "$folder/current/$program" ] || exit 0
new=$folder/new
rm -rf "$new"
mkdir -p "$new/root"
cd "$new"
fetch "$@" || { apt-get -qq update && fetch "$@"; } || {
	echo "unpack.sh: these packages could not be fetched: $*" >&2
	exit 1
}
for deb in *.deb; do
	dpkg-deb -x "$deb" root
done
rm -rf "$folder/current"
mv root "$folder/current"
cd "$folder"
rm -rf "$new"
