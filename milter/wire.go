package milter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
)

// The commands of an MTA.
const (
	cmdAbort        = 'A' // SMFIC_ABORT
	cmdBody         = 'B' // SMFIC_BODY
	cmdConnect      = 'C' // SMFIC_CONNECT
	cmdMacro        = 'D' // SMFIC_MACRO
	cmdEndOfMessage = 'E' // SMFIC_BODYEOB
	cmdHelo         = 'H' // SMFIC_HELO
	cmdQuitNewConn  = 'K' // SMFIC_QUIT_NC
	cmdHeader       = 'L' // SMFIC_HEADER
	cmdMail         = 'M' // SMFIC_MAIL
	cmdEndOfHeader  = 'N' // SMFIC_EOH
	cmdNegotiate    = 'O' // SMFIC_OPTNEG
	cmdQuit         = 'Q' // SMFIC_QUIT
	cmdRcpt         = 'R' // SMFIC_RCPT
	cmdData         = 'T' // SMFIC_DATA
	cmdUnknown      = 'U' // SMFIC_UNKNOWN
)

// The answers of a filter.
const (
	ansChangeHeader = 'm' // SMFIR_CHGHEADER
	ansContinue     = 'c' // SMFIR_CONTINUE
	ansInsertHeader = 'i' // SMFIR_INSHEADER
	ansProgress     = 'p' // SMFIR_PROGRESS
	ansSkip         = 's' // SMFIR_SKIP
	ansQuarantine   = 'q' // SMFIR_QUARANTINE
	ansReplyCode    = 'y' // SMFIR_REPLYCODE
)

// stageOf names the stage of a command, as the metrics do.
func stageOf(cmd byte) string {
	switch cmd {
	case cmdNegotiate:
		return "negotiate"
	case cmdConnect:
		return "connect"
	case cmdHelo:
		return "helo"
	case cmdMail:
		return "mail"
	case cmdRcpt:
		return "rcpt"
	case cmdHeader:
		return "header"
	case cmdEndOfHeader:
		return "eoh"
	case cmdBody:
		return "body"
	case cmdEndOfMessage:
		return "eom"
	}
	return "other"
}

var (
	errConnectFrame = errors.New("CONNECT is malformed")
	errHeaderFrame  = errors.New("a header field is not a name and a value")
	errPathFrame    = errors.New("an address is missing")
)

// peer is what CONNECT says of the SMTP client.
type peer struct {
	name  string     // verified name, "" when there is none
	addr  netip.Addr // zero when the client has no IP address
	unix  bool       // the client came by a local socket
	local bool       // the client is a program of the MTA's host: see Envelope.Local
}

// parseConnect reads CONNECT: a name, a family and, unless that is unknown, a
// port and an address.
func parseConnect(data []byte) (peer, error) {
	name, rest, ok := bytes.Cut(data, []byte{0})
	if !ok || len(rest) == 0 {
		return peer{}, errConnectFrame
	}
	p := peer{name: clientName(string(name)), unix: rest[0] == 'L'}
	switch rest[0] {
	case 'U': // SMFIA_UNKNOWN
		return p, nil
	case 'L', '4', '6': // SMFIA_UNIX, SMFIA_INET, SMFIA_INET6
		if len(rest) < 4 || rest[len(rest)-1] != 0 {
			return peer{}, errConnectFrame
		}
	default:
		return peer{}, errConnectFrame
	}
	if !p.unix {
		p.addr = parseAddr(cString(rest[3:]))
	}
	port := binary.BigEndian.Uint16(rest[1:])
	p.local = p.unix || port == 0 && p.addr.IsLoopback() // cleanup(8) plays such a client for mail of sendmail(1)
	return p, nil
}

// clientName returns the name of a client. MTAs write the address in brackets
// for a client that has none.
func clientName(s string) string {
	if strings.HasPrefix(s, "[") {
		return ""
	}
	return s
}

// parseAddr reads the address of a client, with the "IPv6:" that Sendmail
// writes everywhere and Postfix in {client_addr}. What is no address is the
// zero Addr. An IPv4 address within IPv6 is an IPv4 address.
func parseAddr(s string) netip.Addr {
	if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
		s = s[5:]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// cString returns the text before the first NUL.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// pathAndArgs reads MAIL or RCPT: an address and its ESMTP parameters.
func pathAndArgs(data []byte) (path string, args []string, err error) {
	if len(data) < 2 || data[len(data)-1] != 0 {
		return "", nil, errPathFrame
	}
	parts := strings.Split(string(data[:len(data)-1]), "\x00")
	return unbracket(parts[0]), parts[1:], nil
}

// unbracket removes one pair of angle brackets: those of the path, not what
// the address itself may contain.
func unbracket(s string) string {
	if len(s) >= 2 && s[0] == '<' && s[len(s)-1] == '>' {
		return s[1 : len(s)-1]
	}
	return s
}

// splitField reads a header frame: two strings, each ended by a NUL.
func splitField(data []byte) (name, value []byte, err error) {
	name, rest, _ := bytes.Cut(data, []byte{0})
	value, ok := bytes.CutSuffix(rest, []byte{0})
	if !ok || bytes.IndexByte(value, 0) >= 0 {
		return nil, nil, errHeaderFrame
	}
	return name, value, nil
}

// appendFrame appends one frame to b.
func appendFrame(b []byte, cmd byte, data []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)+1))
	return append(append(b, cmd), data...)
}
