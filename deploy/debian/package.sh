#!/bin/sh
# Builds the Debian package of this checkout:
#
#	package.sh FOLDER    writes FOLDER/dmarcgate_VERSION_ARCH.deb
#
# Needs Go, git and Debian's debhelper. The same commit and the same Go release
# give the same bytes. From the environment, with defaults:
#
#	VERSION            tag of this commit without "v"; between tags, the latest
#	                   tag and the date of the commit; without tags, 0~ and the date
#	SOURCE_DATE_EPOCH  date of the commit, in seconds
#	MAINTAINER         committer of this commit
set -eu

[ $# = 1 ] || { echo "usage: package.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
dist=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
export LC_ALL=C.UTF-8 TZ=UTC
umask 022

fail() {
	echo "package.sh: $*" >&2
	exit 1
}

# version prints the version of this commit for Debian. "~" sorts before the
# release that follows, and "+" after the release.
version() {
	day=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)
	tag=$(git describe --tags --match 'v[0-9]*' --abbrev=0 2>/dev/null) || tag=
	name=$(printf %s "${tag#v}" | tr - '~')
	if [ -z "$tag" ]; then
		echo "0~$day"
	elif git describe --tags --match 'v[0-9]*' --exact-match >/dev/null 2>&1; then
		echo "$name"
	else
		echo "$name+$day"
	fi
}

# licence prints a file. Debian has the text of the Apache licence on every host
# and wants it named, not repeated (Debian Policy, Section 12.5).
licence() {
	if grep -q 'Apache License' "$1" && grep -q 'END OF TERMS AND CONDITIONS' "$1"; then
		echo "Apache License, Version 2.0: /usr/share/common-licenses/Apache-2.0"
	else
		tr -d '\r' <"$1"
	fi
}

# licences prints the licences of the modules in the binary.
licences() {
	go version -m "$work/dmarcgate" | awk '$1 == "dep" { print $2 }' | while read -r module; do
		dir=$(go list -m -f '{{.Dir}}' "$module" </dev/null)
		for file in "$dir"/LICENSE* "$dir"/LICENCE* "$dir"/COPYING* "$dir"/NOTICE*; do
			[ -f "$file" ] || continue
			printf '\n\n=== %s: %s\n\n' "$module" "${file##*/}"
			licence "$file"
		done
	done
	printf '\n\n=== the Go standard library\n\n'
	licence "$(go env GOROOT)/LICENSE"
}

# configuration prints the example configuration with the sockets and the rule
# folder of the package.
configuration() {
	sed -e 's|^address = .*|address = "systemd:mta"|' -e 's|^#rules_dir = ""|rules_dir = "/etc/dmarcgate/rules.d"|' deploy/dmarcgate.toml
}

# fill makes the folder in which debhelper works.
fill() {
	mkdir -p "$work/completion"
	cp -R deploy docs README.md CHANGELOG.md "$work"
	cp -R deploy/debian "$work/debian"
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o "$work/dmarcgate" ./cmd/dmarcgate
	configuration >"$work/dmarcgate.toml"
	(
		cd "$work"
		./dmarcgate completion bash >completion/dmarcgate
		./dmarcgate completion zsh >completion/_dmarcgate
		./dmarcgate completion fish >completion/dmarcgate.fish
		sed -i "s|@MAINTAINER@|$MAINTAINER|" debian/control
		printf 'dmarcgate (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' \
			"$VERSION" "$MAINTAINER" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" >debian/changelog
	)
}

command -v dh >/dev/null || fail "debhelper is missing. Run as root: apt-get install --no-install-recommends debhelper"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}" "${MAINTAINER:=$(git log -1 --format='%cn <%ce>')}"
export SOURCE_DATE_EPOCH
: "${VERSION:=$(version)}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fill
licences >>"$work/debian/copyright"
(cd "$work" && DIST=$dist debian/rules binary >debian/log 2>&1) || { cat "$work/debian/log" >&2; fail "debhelper failed"; }
echo "$dist/dmarcgate_${VERSION}_$(dpkg --print-architecture).deb"
