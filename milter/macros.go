package milter

import "bytes"

// macro is a macro that somebody here wants to know.
type macro uint8

const (
	macroMTAName    macro = iota // j
	macroDaemon                  // {daemon_name}
	macroClientAddr              // {client_addr}
	macroAuthType                // {auth_type}
	macroAuthen                  // {auth_authen}
	macroQueueID                 // i
	macroRcptMailer              // {rcpt_mailer}
	macroTLSVersion              // {tls_version}
	macroCount
)

var macroNames = [macroCount]string{
	"j", "{daemon_name}", "{client_addr}", "{auth_type}", "{auth_authen}", "i", "{rcpt_mailer}", "{tls_version}",
}

// macroStages are the commands that macros are sent for, in the order of a
// session. The first two belong to the connection, the others to a message.
const macroStages = "CHMRTLNBE"

const firstMessageStage = 2

// macros holds the macros of each stage. A packet replaces those of its own
// stage only, so what was said at CONNECT is known at end of message.
type macros [len(macroStages)][macroCount]string

// set reads a macro packet: the command it belongs to, then names and values.
// It is made to cost nothing when nothing changes: Postfix sends one before
// each header field and body chunk.
func (m *macros) set(data []byte) {
	if len(data) == 0 {
		return
	}
	stage := bytes.IndexByte([]byte(macroStages), data[0])
	if stage < 0 {
		return
	}
	var seen [macroCount]bool
	for rest := data[1:]; len(rest) > 0; {
		var name, value []byte
		name, rest, _ = bytes.Cut(rest, []byte{0})
		value, rest, _ = bytes.Cut(rest, []byte{0})
		if k := macroNamed(name); k < macroCount {
			seen[k] = true
			assign(&m[stage][k], value)
		}
	}
	for k := range seen {
		if !seen[k] {
			m[stage][k] = ""
		}
	}
}

// assign sets *dst to value, without allocating when it is that already.
func assign(dst *string, value []byte) {
	if *dst != string(value) {
		*dst = string(value)
	}
}

// macroNamed finds a macro. A name of one letter may be in braces.
func macroNamed(name []byte) macro {
	if len(name) == 3 && name[0] == '{' {
		name = name[1:2]
	}
	for k, n := range macroNames {
		if string(name) == n {
			return macro(k)
		}
	}
	return macroCount
}

// get returns the value of a macro from the latest stage that has one.
func (m *macros) get(k macro) string {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i][k] != "" {
			return m[i][k]
		}
	}
	return ""
}

// beginSession forgets the stages after CONNECT, whose own macros arrived just
// before it: the next client has not said HELO.
func (m *macros) beginSession() { clear(m[1:]) }

// beginMessage forgets the stages after MAIL, whose own macros arrived just
// before it.
func (m *macros) beginMessage() { clear(m[firstMessageStage+1:]) }

// endMessage forgets what belongs to a message, so that no queue id is taken
// for that of the next one.
func (m *macros) endMessage() { clear(m[firstMessageStage:]) }

// rcptMailer is the mailer of the recipient that comes next; "error" marks one
// that the MTA has refused.
func (m *macros) rcptMailer() string { return m[3][macroRcptMailer] }
