#!/bin/sh
# Unpacks Debian's Sendmail, with its m4 files and m4 itself, into a folder of
# its own: as a package it would take Postfix away. Nothing of it is set up, no
# service is made, and it works for any user; only libraries that the program
# needs and the host lacks are installed, by root.
#
#	sendmail.sh FOLDER	makes FOLDER/VERSION, and FOLDER/current for it
#
# Run it as often as you like: with everything there it only looks. Exit status
# 0 means that FOLDER/current is complete and its program can run.
set -eu

folder=$1
program=usr/libexec/sendmail/sendmail

fail() {
	echo "sendmail.sh: $*" >&2
	exit 1
}

# missing prints the libraries that the program needs and does not find.
missing() {
	ldd "$folder/current/$program" | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' | xargs
}

unpacked() { [ -x "$folder/current/$program" ]; }

complete() { unpacked && [ -z "$(missing)" ]; }

# apt calls apt-get as whoever we are: its own user _apt cannot write here.
apt() {
	apt-get -qq -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=120 "$@" 9<&-
}

# unpack makes $folder/VERSION from the packages that apt knows of. It becomes
# visible under its name when it is whole.
unpack() {
	new=$folder/new
	rm -rf "$new"
	mkdir -p "$new/root" || return
	(cd "$new" && apt download sendmail-bin sendmail-cf m4 >/dev/null) || return
	for deb in "$new"/*.deb; do
		dpkg-deb -x "$deb" "$new/root" || return
	done
	# Debian's program is setgid, for users who submit mail. Ours is run by root.
	chmod 755 "$new/root/$program" || return
	# The packages of its libraries, should they be missing now or later.
	dpkg-deb -f "$new"/sendmail-bin_*.deb Depends | tr ',' '\n' |
		sed -n 's/^ *\(lib[^ (|:]*\).*/\1/p' >"$new/root/libraries" || return
	version=$(dpkg-deb -f "$new"/sendmail-bin_*.deb Version | tr -d ':')
	rm -rf "${folder:?}/$version"
	mv "$new/root" "$folder/$version" && ln -sfn "$version" "$folder/current" && rm -rf "$new"
}

install_libraries() {
	packages=$(xargs <"$folder/current/libraries")
	[ "$(id -u)" = 0 ] || fail "missing: $(missing). Run as root: apt-get install --no-install-recommends $packages"
	# --no-upgrade: what the host has is good enough, and not ours to change.
	# shellcheck disable=SC2086 # one word per package
	DEBIAN_FRONTEND=noninteractive apt install -y --no-install-recommends --no-remove --no-upgrade $packages >/dev/null
}

# again does something, once more with fresh package lists when it fails: they
# may be missing or out of date.
again() { "$@" || { apt update && "$@"; }; }

complete && exit 0

command -v apt-get >/dev/null || fail "there is no apt-get here to get Sendmail with"
mkdir -p "$folder"
# Two runs at once must not unpack into each other's folder. The lock is on
# this file itself, so nothing is left behind.
exec 9<"$0"
flock 9

if ! unpacked; then
	echo "sendmail.sh: unpacking Sendmail into $folder"
	again unpack || fail "Sendmail could not be fetched or unpacked"
fi
if [ -n "$(missing)" ]; then
	echo "sendmail.sh: installing libraries: $(missing)"
	again install_libraries || fail "the libraries could not be installed"
fi
complete || fail "$folder/current/$program cannot run: missing $(missing)"
