#!/bin/sh
# Makes the archive of a bare Debian 12 with systemd and a stock Postfix, from the
# package sources of this host:
#
#	root.sh FILE.tar
#
# With the archive there it does nothing. Remove the archive to get newer packages.
set -eu

archive=$1
[ ! -e "$archive" ] || exit 0

mkdir -p "$(dirname "$archive")"
# Two runs at once make it once.
exec 9<"$0"
flock 9
[ ! -e "$archive" ] || exit 0

sources=/etc/apt/sources.list.d/debian.sources
[ -s "$sources" ] || sources=/etc/apt/sources.list
trap 'rm -f "$archive.new"' EXIT
echo "root.sh: making $archive, about a minute" >&2
# Nobody waits for the disk (force-unsafe-io), and nobody reads the manuals.
mmdebstrap --quiet --mode=root --format=tar --variant=apt --include=systemd,systemd-sysv,postfix \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
	--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	bookworm "$archive.new" "$sources" 9<&-
mv "$archive.new" "$archive"
