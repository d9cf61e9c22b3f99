package config

import (
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"dmarcgate/auth/authres"
	"dmarcgate/config/tomlfile"
)

const (
	maxName       = 32  // a listener name is repeated in every metric line
	maxAuthservID = 255 // that of a host name (RFC 1035, Section 2.3.4)
	maxFieldName  = 76  // leaves the 78 characters of a line to hold it (RFC 5322, Section 2.1.1)

	// maxReplyText leaves room for a domain name and a reason within the 512
	// bytes of a reply line (RFC 5321, Section 4.5.3.1.5).
	maxReplyText = 160

	maxHelp = 80 // characters of a link, which has to fit behind them
)

const (
	lower        = "abcdefghijklmnopqrstuvwxyz0123456789"
	alphanumeric = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// only reports whether s has no characters but those of set, which is ASCII.
func only(s, set string) bool { return strings.Trim(s, set) == "" }

func checkName(s string) error {
	if s == "" || len(s) > maxName || !only(s, lower+"-") {
		return tomlfile.Faultf(`use a to z, 0 to 9 and "-", at most 32 characters`, "%q cannot name a listener", s)
	}
	return nil
}

// parseID checks a name that others may have written in Authentication-Results,
// with or without a dot. RFC 8601, Section 2.5 allows more (a quoted string, any
// token); we allow what needs no quotes and cannot be confused with a version or
// a comment.
func parseID(s string) (string, error) {
	if s == "" || len(s) > maxAuthservID || !only(s, alphanumeric+"-_.") ||
		slices.Contains(strings.Split(s, "."), "") {
		return "", tomlfile.Faultf(`write a host name, for example "mx.example.org"`, "%q is not an authserv-id", s)
	}
	return s, nil
}

// checkAuthservID checks our own name, which no other host may have: a full host
// name. None means the name of the MTA.
func checkAuthservID(s string) error {
	if s == "" {
		return nil
	}
	if _, err := parseID(s); err != nil {
		return err
	}
	if !authres.IsHostID(s) {
		return tomlfile.Faultf(`write the full name, for example "mx.example.org"; without authserv_id, the name of the MTA is used`, "%q is not a full host name: it could be the name of another host", s)
	}
	return nil
}

// parsePath reads an absolute path: a daemon's working directory is no place
// that an operator thinks of.
func parsePath(s string) (string, error) {
	if !filepath.IsAbs(s) || strings.ContainsRune(s, 0) {
		return "", tomlfile.Faultf("write the whole path, starting with /", "%q is not an absolute path", s)
	}
	return filepath.Clean(s), nil
}

// parseOptionalPath allows none, which means a file in the state directory.
func parseOptionalPath(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return parsePath(s)
}

// parseMode reads permission bits. The bits for set-user-id and the like mean
// nothing for a socket.
func parseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 || len(s) < 3 {
		return 0, tomlfile.Faultf(`write three or four octal digits, for example "0660"`, "%q is not a socket mode", s)
	}
	return fs.FileMode(n), nil
}

// taken are fields that mean something to mail software already; a second one
// would change the message.
var taken = []string{
	"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Date", "Subject", "Message-ID", "In-Reply-To",
	"References", "Received", "Return-Path", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	"DKIM-Signature", "Authentication-Results", "Received-SPF",
	"BIMI-Location", "BIMI-Indicator", "BIMI-Logo-Preference", "BIMI-Selector",
}

// checkFieldName allows the names of RFC 5322, Section 3.6.8 that are made of
// letters, digits and hyphens, as all registered ones are.
func checkFieldName(s string) error {
	if s == "" || len(s) > maxFieldName || !only(s, alphanumeric+"-") {
		return tomlfile.Faultf(`write a name of letters, digits and "-", without a colon`, "%q is not the name of a header field", s)
	}
	if slices.ContainsFunc(taken, func(t string) bool { return strings.EqualFold(s, t) }) {
		return tomlfile.Faultf(`choose a name of its own, for example "X-DMARC-Quarantine"`, "%q has a meaning already", s)
	}
	return nil
}

var placeholders = []string{"domain", "why", "qid"}

// CheckReply checks the text of an SMTP reply.
func CheckReply(s string) error {
	switch {
	case len(s) > maxReplyText:
		return tomlfile.Faultf(fmt.Sprintf("shorten it to %d", maxReplyText), "has %d characters", len(s))
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }):
		return tomlfile.Faultf("use printable ASCII on one line; SMTP replies have no other characters", "has a character that is not printable ASCII")
	case strings.Contains(s, "%"):
		// libmilter requires that % is doubled in a reply, and MTAs undo that.
		return tomlfile.Faultf("remove it; milters and MTAs disagree about it", "has a percent sign")
	case !strings.Contains(s, "DMARC"): // RFC 9989, Section 7.2
		return tomlfile.Faultf("add the word, for which postmasters of senders search", `does not contain "DMARC"`)
	case s[0] >= '0' && s[0] <= '9':
		return tomlfile.Faultf("write the text alone; the codes are added", "starts with a digit, like a reply code")
	}
	return checkPlaceholders(s)
}

// checkHelp checks the link in replies: one of the Web, short, and without an
// address or a word that would be different for each message.
func checkHelp(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.User != nil:
		return tomlfile.Faultf(`write a link, for example "https://postmaster.example.org/dmarc"`, "%q is not a link of the Web", s)
	case len(s) > maxHelp:
		return tomlfile.Faultf(fmt.Sprintf("shorten it to %d", maxHelp), "has %d characters", len(s))
	case strings.ContainsAny(s, "%{}@") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return tomlfile.Faultf("use printable ASCII without blanks, %, braces and @: every sender reads the same link", "%q cannot stand in a reply", s)
	}
	return nil
}

func checkPlaceholders(s string) error {
	const fix = "use {domain}, {why} and {qid}"
	for {
		before, rest, found := strings.Cut(s, "{")
		name, after, closed := strings.Cut(rest, "}")
		switch {
		case strings.Contains(before, "}"), found && !closed:
			return tomlfile.Faultf(fix, "has a brace without its partner")
		case !found:
			return nil
		case !slices.Contains(placeholders, name):
			return tomlfile.Faultf(fix, "unknown placeholder %q", "{"+name+"}")
		}
		s = after
	}
}

// ParseListenerName checks the name of a listener.
func ParseListenerName(s string) (string, error) { return s, checkName(s) }
