#!/bin/sh
# Installs from Debian's packages what `make test` needs, when it is missing:
# a C compiler (for the race detector), Postfix, unbound with NSD (a real
# resolver over a zone of the test's own), dnsmasq (the program without its
# service), OpenDKIM, rspamd, amavis and SpamAssassin (other filters in the
# chain), PostgreSQL, strace, ip(8), mandoc, zsh and fish (completion), what
# makes and checks the Debian package (debhelper, lintian, mmdebstrap), a browser
# for the status pages (chromium, with a font), and what reads reports and their
# mail (xmllint, jing, dmarc-cat, Mail::DMARC, swaks, python3-dkim). The tests
# start private instances of the servers; this script neither starts nor leaves
# a system service. Sendmail, which as a package excludes Postfix, is unpacked
# into the checkout's own cache folder (sendmail.sh); so are fail2ban, Prometheus
# (unpack.sh), OpenDKIM and OpenDMARC (chain.sh), which would start services. The
# bare Debian of the package's test is made there, too (packagetest/root.sh).
#
# Run it as often as you like: with everything there it calls nothing and
# answers at once. Exit status 0 means that everything is there.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
policy=/usr/sbin/policy-rc.d

# missing prints the packages whose programs are not there. The programs are
# asked for, not the packages: a compiler from elsewhere is as good.
missing() {
	command -v gcc >/dev/null || echo gcc
	[ -e /usr/include/stdlib.h ] || echo libc6-dev
	[ -x /usr/lib/postfix/sbin/master ] || echo postfix
	command -v unbound >/dev/null || echo unbound
	command -v nsd >/dev/null || echo nsd
	command -v dnsmasq >/dev/null || echo dnsmasq-base
	command -v opendkim >/dev/null || echo opendkim
	command -v rspamd >/dev/null || echo rspamd
	command -v amavisd >/dev/null || echo amavisd-new
	command -v spamd >/dev/null || echo spamassassin spamd
	command -v spamass-milter >/dev/null || echo spamass-milter
	command -v ip >/dev/null || echo iproute2
	command -v python3 >/dev/null || echo python3
	command -v openssl >/dev/null || echo openssl
	command -v strace >/dev/null || echo strace
	command -v mandoc >/dev/null || echo mandoc
	command -v zsh >/dev/null || echo zsh
	command -v fish >/dev/null || echo fish
	command -v swaks >/dev/null || echo swaks
	[ -e /usr/lib/python3/dist-packages/dkim/__init__.py ] || echo python3-dkim
	command -v dh >/dev/null || echo debhelper
	command -v lintian >/dev/null || echo lintian
	command -v mmdebstrap >/dev/null || echo mmdebstrap
	command -v chromium >/dev/null || echo chromium
	[ -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ] || echo fonts-dejavu-core
	command -v xmllint >/dev/null || echo libxml2-utils
	command -v jing >/dev/null || echo jing
	command -v dmarc-cat >/dev/null || echo dmarc-cat
	[ -e /usr/share/perl5/Mail/DMARC.pm ] || echo libmail-dmarc-perl
	[ "${DMARCGATE_SCALE:-1}" = 1 ] || command -v piuparts >/dev/null || echo piuparts # make soak
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || echo postgresql
}

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

# forbid_start keeps dpkg from starting services while packages are set up
# (invoke-rc.d(8)). A site's own policy-rc.d is left as it is.
forbid_start() {
	[ -e "$policy" ] && return
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\n# temporary, made by the tests of dmarcgate\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}

# disable keeps a service that this script has just installed from starting
# at the next boot, and stops it where a site's own policy-rc.d let it start.
disable() {
	command -v systemctl >/dev/null || return 0
	now=
	[ -d /run/systemd/system ] && now=--now
	for unit in "$@"; do
		systemctl disable $now "$unit" >/dev/null 2>&1 || true
	done
}

# install installs packages. With --no-remove: another mail server of this host
# is not ours to take away.
install() {
	apt-get install -y -qq --no-install-recommends --no-remove \
		-o DPkg::Lock::Timeout=120 "$@" 9<&- ||
		fail "apt-get could not install: $*"
}

# forbid_cluster keeps the package of PostgreSQL from making a database of the
# system beside the program (pg_createcluster(8)). A site that has its
# packages' common files already has decided for itself.
forbid_cluster() {
	common=/etc/postgresql-common/createcluster.conf
	[ ! -e "$common" ] || return 0
	install postgresql-common
	sed -i 's/^#* *create_main_cluster *=.*/create_main_cluster = false/' "$common"
}

# finish does what is left when all packages are there.
finish() {
	here=$(cd "$(dirname "$0")" && pwd)
	cache=$(dirname "$(dirname "$here")")/.cache
	"$here/sendmail.sh" "$cache/sendmail"
	"$here/unpack.sh" "$cache/fail2ban" usr/bin/fail2ban-regex fail2ban
	"$here/unpack.sh" "$cache/prometheus" usr/bin/promtool prometheus
	"$here/../bench/chain.sh" "$cache/chain"
	[ "$(id -u)" != 0 ] || "$here/../packagetest/root.sh" "$cache/packagetest/bookworm.tar"
	exit
}

[ -n "$(missing)" ] || finish

[ "$(id -u)" = 0 ] || fail "missing: $(missing | xargs). Run as root: apt-get install --no-install-recommends $(missing | xargs)"
command -v apt-get >/dev/null || fail "missing: $(missing | xargs), and there is no apt-get here to install them with"

# Two runs at once must not take away each other's policy-rc.d. The lock is on
# this file itself, so nothing is left behind.
exec 9<"$0"
flock 9
want=$(missing | xargs)
[ -n "$want" ] || finish

trap 'exit 130' INT
trap 'exit 143' TERM HUP
forbid_start
export DEBIAN_FRONTEND=noninteractive
# "No configuration": no main.cf, no queue, nothing that could run.
echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections

echo "install.sh: installing $want"
# Package lists that cannot be refreshed may still be good enough.
apt-get update -qq || echo "install.sh: apt-get update failed; going on with the lists there are" >&2
case " $want " in *" postgresql "*) forbid_cluster ;; esac
# shellcheck disable=SC2086 # one word per package
install $want

for package in $want; do
	case $package in
	postfix) disable postfix.service ;;
	unbound) disable unbound.service unbound-resolvconf.service ;;
	nsd) disable nsd.service ;;
	opendkim) disable opendkim.service ;;
	rspamd) disable rspamd.service ;;
	amavisd-new) disable amavis.service amavis-mc.service ;;
	spamd) disable spamd.service ;;
	spamassassin) disable spamassassin-maintenance.timer ;;
	spamass-milter) disable spamass-milter.service ;;
	postgresql) disable postgresql.service ;;
	esac
done

# The package of SpamAssassin leaves an agent running that has read its keys.
keys=/var/lib/spamassassin/sa-update-keys
[ ! -d "$keys" ] || runuser -u debian-spamd -- gpgconf --homedir "$keys" --kill gpg-agent || true

[ -z "$(missing)" ] || fail "still missing after the installation: $(missing | xargs)"
exec 9<&-
finish
