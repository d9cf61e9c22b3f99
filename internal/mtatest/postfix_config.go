package mtatest

import (
	"fmt"
	"net"
	"regexp"
	"strings"
)

// PostfixConfig says how a private Postfix differs from the plain one, which
// is mx.receiver.example, takes mail for receiver.example, and asks no milter.
type PostfixConfig struct {
	// Dir is an empty or missing directory; empty means one of its own. See
	// Dir for what it must be like.
	Dir string

	// Milter is the value of smtpd_milters, such as "unix:/path/to/socket" or
	// "inet:127.0.0.1:8891"; empty means none.
	Milter string

	// MainCF is further text of main.cf. A setting in it replaces ours of the
	// same name, Milter's too.
	MainCF string

	// MasterCF is further text of master.cf.
	MasterCF string

	// Chroot runs smtpd and cleanup chrooted to the queue directory, as
	// Debian's own master.cf does: a milter's socket is then looked for below
	// Postfix.QueueDir.
	Chroot bool
}

// mainCF is main.cf with four blanks: configuration directory's parent (three
// times), and the port of the sink. Why it has what it has:
//
//   - Nothing leaves the machine: every transport, for bounces too, goes to the
//     sink, and there is no DNS.
//   - Without an empty local_header_rewrite_clients, Postfix decides for the
//     real client 127.0.0.1, before XCLIENT, to add From, Date and Message-Id.
//   - Bytes arrive at the sink as the milter left them: lines of any length, no
//     conversion to 7 bits.
//   - No delays meant for third parties who make errors.
const mainCF = `compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file_prefixes = %[1]s
maillog_file = %[1]s/mail.log
myhostname = mx.receiver.example
mydomain = receiver.example
mydestination = receiver.example
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = all
local_recipient_maps =
local_header_rewrite_clients =
alias_maps =
alias_database =
local_transport = smtp:[127.0.0.1]:%[2]s
relay_transport = smtp:[127.0.0.1]:%[2]s
default_transport = smtp:[127.0.0.1]:%[2]s
smtp_line_length_limit = 0
disable_mime_output_conversion = yes
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions = static:all
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
smtpd_junk_command_limit = 1000
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_relay_restrictions = reject_unauth_destination
smtputf8_enable = yes
enable_long_queue_ids = yes
message_size_limit = 52428800
in_flow_delay = 0
milter_default_action = tempfail
milter_protocol = 6
smtpd_milters = %[3]s
`

// masterCF is master.cf with blanks for the listening address and for whether
// smtpd and cleanup are chrooted.
const masterCF = `%[1]s inet n - %[2]s - 100 smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - %[2]s - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
`

// main renders main.cf.
func (c PostfixConfig) main(dir, sink string) (string, error) {
	_, port, err := net.SplitHostPort(sink)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf(mainCF, dir, port, c.Milter)
	return without(text, c.MainCF) + strings.TrimLeft(c.MainCF, "\n") + "\n", nil
}

// master renders master.cf.
func (c PostfixConfig) master(addr string) string {
	chroot := "n"
	if c.Chroot {
		chroot = "y"
	}
	return fmt.Sprintf(masterCF, addr, chroot) + strings.TrimLeft(c.MasterCF, "\n") + "\n"
}

var setting = regexp.MustCompile(`(?m)^(\w+)[ \t]*=`)

// without leaves out the lines of text whose setting is made in other: Postfix
// would take the later one, but complain in its log.
func without(text, other string) string {
	made := map[string]bool{}
	for _, m := range setting.FindAllStringSubmatch(other, -1) {
		made[m[1]] = true
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, " ")
		if !made[name] {
			b.WriteString(line)
		}
	}
	return b.String()
}
