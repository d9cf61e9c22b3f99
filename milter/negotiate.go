package milter

import (
	"encoding/binary"
	"errors"
	"fmt"

	gomilter "github.com/emersion/go-milter"
)

const (
	// ownVersion is the newest protocol version (SMFI_PROT_VERSION): that of
	// Sendmail 8.14 and Postfix 2.6 and all later ones.
	ownVersion = 6
	// oldestVersion is the oldest that can delete fields and quarantine.
	oldestVersion = 2

	// wantedActions are the edits that a handler can ask for, and the right
	// to name the macros that the MTA sends.
	wantedActions = gomilter.OptAddHeader | gomilter.OptChangeHeader | gomilter.OptQuarantine | gomilter.OptSetSymList

	// wantedProtocol asks for header values as they are, and for events that
	// need no answer: each answer saved is a round trip saved. CONNECT, MAIL
	// and end of header are answered, so that the MTA notices early when
	// nobody is there; the body is, so that it can be skipped.
	wantedProtocol = gomilter.OptHeaderLeadingSpace | gomilter.OptSkip |
		gomilter.OptNoHeloReply | gomilter.OptNoRcptReply | gomilter.OptNoHeaderReply |
		gomilter.OptNoUnknown | gomilter.OptNoUnknownReply | gomilter.OptNoDataReply
)

var errOffer = errors.New("the offer is too short")

// Negotiated is what an MTA and this process agreed on: a part of what the MTA
// offered, in the bits of the protocol (SMFIF_ and SMFIP_).
type Negotiated struct {
	Version  uint32
	Actions  gomilter.OptAction
	Protocol gomilter.OptProtocol
}

// negotiate chooses from an MTA's offer. What it does not offer is not agreed,
// and an MTA must refuse a filter that asks for more.
func negotiate(offer []byte) (Negotiated, error) {
	if len(offer) < 12 {
		return Negotiated{}, errOffer
	}
	n := Negotiated{
		Version:  min(ownVersion, binary.BigEndian.Uint32(offer)),
		Actions:  wantedActions & gomilter.OptAction(binary.BigEndian.Uint32(offer[4:])),
		Protocol: wantedProtocol & gomilter.OptProtocol(binary.BigEndian.Uint32(offer[8:])),
	}
	if n.Version < oldestVersion {
		return Negotiated{}, fmt.Errorf("protocol version %d is not supported", n.Version)
	}
	if n.Version < ownVersion {
		n.Actions &^= gomilter.OptSetSymList
	}
	return n, nil
}

// symLists are the macros wanted at each stage. Every stage is named, because
// in Postfix one list empties the lists of the stages that have none. TLS is
// asked for twice: a client need not say HELO again after STARTTLS.
var symLists = map[gomilter.Stage][]string{
	gomilter.StageConnect:  {"j", "{daemon_name}", "{client_addr}"},
	gomilter.StageHelo:     {"j", "{tls_version}"},
	gomilter.StageMailFrom: {"i", "{auth_type}", "{auth_authen}", "{tls_version}"},
	gomilter.StageRcptTo:   {"i", "{rcpt_mailer}"},
	gomilter.StageData:     {"i"},
	gomilter.StageEOH:      {"i"},
	gomilter.StageEOM:      {"i"},
}

// keepsSpace tells that values carry their leading white space, both ways
// (SMFIP_HDR_LEADSPC).
func (n Negotiated) keepsSpace() bool { return n.Protocol&gomilter.OptHeaderLeadingSpace != 0 }

// canSkip tells that the MTA understands "no more body" (SMFIP_SKIP).
func (n Negotiated) canSkip() bool { return n.Protocol&gomilter.OptSkip != 0 }

// silent tells that the MTA expects no answer to cmd.
func (n Negotiated) silent(cmd byte) bool {
	var bit gomilter.OptProtocol
	switch cmd {
	case cmdHelo:
		bit = gomilter.OptNoHeloReply
	case cmdRcpt:
		bit = gomilter.OptNoRcptReply
	case cmdHeader:
		bit = gomilter.OptNoHeaderReply
	case cmdData:
		bit = gomilter.OptNoDataReply
	case cmdUnknown:
		bit = gomilter.OptNoUnknownReply
	}
	return n.Protocol&bit != 0
}
