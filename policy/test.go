package policy

import (
	"net/netip"
	"time"
)

// Test says what the rules shall do with a message: a [[rule.test]] of a rule
// file. Package ruletest runs it.
type Test struct {
	Given  Given
	Expect Expect
	Line   int // of the rule's file
}

// Given is the message. What is not given is as in a message without anything
// special: one recipient, one author domain, nothing that passes.
type Given struct {
	Author         []string   // author domains; none is "author.example"
	FromField      From       // what the From field gave, when that is not From
	Policy         string     // that each of them publishes: none, quarantine, reject; "" is no record
	PolicyDomain   string     // where that record is; "" is at the author domain
	Result         string     // of DMARC, when it is not what SPF and DKIM below conclude: temperror or permerror
	Client         netip.Addr // of the client
	Name           string     // of the client, confirmed
	Helo           string
	MailFrom       string   // domain; "" is that of From
	NullPath       bool     // MAIL FROM:<>, of which SPF checks Helo
	Rcpt           []string // domains; none is "rcpt.example"
	Listener       string
	SPF            string   // its result: "pass", "fail", …; "" is none
	DKIM           []string // "pass:example.org": result and d= of each signature; result "body" is one whose body hash alone differs
	ARC            []string // sealers of a chain that passes, of which the first recorded that DMARC passed for From
	ListID         string
	ListHeaders    bool
	Automatic      bool
	TLS            bool
	EarlierSPFFail bool      // a field of an earlier host says so
	History        int       // messages of the organization that were proved to be its own
	Time           time.Time // zero: noon of the day on which the rule was created, or the time of day of that
	Profile        Profile   // zero: strict, since rules only watch under monitor
}

// Expect is what shall come out. What is absent is not compared.
type Expect struct {
	Rule    *string // id of the rule that decides, "" for none; in a test of a rule that skips reports, of the one that does so
	Applied string  // none, quarantine, reject or tempfail
	Reason  *Reason // "" is as published
}
