#!/bin/sh
# Checks that a run of the tests leaves nothing behind: no process, no socket
# and no file outside the checkout's own cache folder.
#
#	leftovers.sh before CACHE   notes in CACHE what is there
#	leftovers.sh after CACHE    fails when there is more
set -eu

word=$1 cache=$2

# All is read from /proc: ps and ss are not on every host, and a check must not
# pass for want of a program.
[ -r /proc/self/cmdline ] && [ -r /proc/net/unix ] || { echo "leftovers.sh: needs /proc" >&2; exit 2; }

# processes lists servers and test programs by their command lines.
processes() {
	for p in /proc/[0-9]*; do
		tr '\0' ' ' <"$p/cmdline" 2>/dev/null && echo
	done | grep -E '^[^ ]*(/postfix/sbin/|/master |postgres |unbound |nsd |dnsmasq |opendkim |rspamd:? |prometheus |chromium |amavisd |spamd |spamass-milter |sendmail:? |\.test |dmarcgate )' | sort || true
}

# sockets lists the addresses on which somebody listens.
sockets() {
	awk 'FNR > 1 && $4 == "0A" { print "tcp", $2 }' /proc/net/tcp /proc/net/tcp6 | sort -u
	awk 'FNR > 1 && $4 == "00010000" && NF > 7 { print "unix", $8 }' /proc/net/unix | sort -u
}

# files lists the places where tests of Go and of servers leave things.
files() {
	find /tmp /var/tmp /run -maxdepth 1 \( -name 'mta*' -o -name 'dg[0-9]*' -o -name 'pgtest*' -o -name 'Test*' -o -name 'dmarcgate*' \) 2>/dev/null | sort || true
}

case $word in
before)
	mkdir -p "$cache"
	processes >"$cache/processes"
	sockets >"$cache/sockets"
	files >"$cache/files"
	;;
after)
	bad=0
	for what in processes sockets files; do
		more=$($what | comm -13 "$cache/$what" -)
		[ -z "$more" ] || { echo "left behind, $what:"; echo "$more"; bad=1; }
	done
	exit $bad
	;;
*)
	echo "leftovers.sh: before or after" >&2
	exit 2
	;;
esac
