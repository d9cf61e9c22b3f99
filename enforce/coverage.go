package enforce

import (
	"fmt"
	"log/slog"
	"sync"

	"dmarcgate/metrics"
	"dmarcgate/policy"
)

// The thresholds of Coverage. All are our choice.
const (
	// coverageWindow is how many of the last messages count: enough for a
	// share in percent, and few enough for a small host to notice a change
	// within a day.
	coverageWindow = 100
	// coverageLeast is how many must have been seen: a start with a few odd
	// messages, such as those of a test, is no finding.
	coverageLeast = 20
	// coverageWarn is the share of messages, in percent, from which on a
	// listener is said not to see its mail. A listener that works has some: a
	// client that leaves within DATA, mail of the host itself, bounces.
	coverageWarn = 90
	// coverageClear is the share below which the warning ends. It lies lower,
	// so that a share about coverageWarn does not fill the log.
	coverageClear = 75
)

// seen is what a listener got to see of a message.
type seen uint8

const (
	evaluated   seen = iota // or skipped because of its client, as the site wants it
	noHeader                // nothing after DATA
	notIP                   // no address of the client
	loopback                // the client is this host
	behindRelay             // the client behind a relay could not be told
	seenKinds
)

// Coverage watches whether a listener sees its mail, or is configured so that
// it sees none of it or can evaluate none of it: such a listener refuses
// nothing and looks healthy. Use NewCoverage; a nil Coverage watches nothing.
type Coverage struct {
	listener string
	metrics  *metrics.Metrics
	log      *slog.Logger

	mu     sync.Mutex
	recent [coverageWindow]seen
	next   int // place of the next message in recent
	seen   int // places of recent that are filled
	counts [seenKinds]int
	active CoverageFinding
}

// CoverageFinding is what is wrong with the mail that a listener sees. The zero
// value is nothing.
type CoverageFinding struct {
	Code string // no_header or not_evaluated; "" is no finding
	Text string // what is seen
	Fix  string // what to look at
}

// NewCoverage returns a Coverage that logs and counts its findings; m may be
// nil.
func NewCoverage(listener string, m *metrics.Metrics, log *slog.Logger) *Coverage {
	return &Coverage{listener: listener, metrics: m, log: log}
}

// NoHeader takes in a message that ended after DATA without a header field.
func (c *Coverage) NoHeader() { c.note(noHeader) }

// message takes in a message whose header was seen, from this client. local is
// mail of programs of this host (milter.Envelope.Local). With an address, such
// mail comes by non_smtpd_milters: the site sends it here to have forged fields
// removed.
func (c *Coverage) message(from client, skip policy.Skip, local bool) {
	switch {
	case local && skip == policy.Loopback:
		c.note(evaluated)
	case skip == policy.NotIP, from.unknown == policy.ClientNoAddress:
		c.note(notIP)
	case skip == policy.Loopback:
		c.note(loopback)
	case from.unknown != policy.ClientKnown:
		c.note(behindRelay)
	default: // authenticated clients and trusted networks are the site's choice
		c.note(evaluated)
	}
}

// Finding returns what is wrong now.
func (c *Coverage) Finding() CoverageFinding {
	if c == nil {
		return CoverageFinding{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active
}

func (c *Coverage) note(s seen) {
	if c == nil {
		return
	}
	before, now := c.count(s)
	if now.Code == before.Code {
		return
	}
	if now.Code == "" {
		c.log.Info("listener evaluates mail again", "listener", c.listener)
		return
	}
	c.log.Warn("listener evaluates almost no mail", "listener", c.listener, "finding", now.Code, "why", now.Text, "fix", now.Fix)
}

// count takes in one message, and returns the finding before and after.
func (c *Coverage) count(s seen) (before, now CoverageFinding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == coverageWindow {
		c.counts[c.recent[c.next]]--
	} else {
		c.seen++
	}
	c.recent[c.next] = s
	c.next = (c.next + 1) % coverageWindow
	c.counts[s]++
	before = c.active
	c.active = coverageFinding(c.counts, before.Code != "")
	if c.active.Code != before.Code {
		c.metrics.ListenerWarning(c.listener, c.active.Code)
	}
	return before, c.active
}

// coverageFinding evaluates the last messages by what was seen of them. active
// tells that there is a finding already.
func coverageFinding(counts [seenKinds]int, active bool) CoverageFinding {
	all, most := 0, noHeader
	for s, n := range counts {
		all += n
		if s := seen(s); s > noHeader && n > counts[most] {
			most = s
		}
	}
	limit := coverageWarn
	if active {
		limit = coverageClear
	}
	blind := all - counts[evaluated]
	if all < coverageLeast || 100*blind < limit*all {
		return CoverageFinding{}
	}
	f := coverageTexts[most]
	f.Text = fmt.Sprintf("of the last %d messages %d %s", all, counts[most], f.Text)
	return f
}

// coverageTexts go on after "of the last 100 messages 97".
var coverageTexts = [seenKinds]CoverageFinding{
	noHeader: {
		"no_header", "showed this listener no header: the MTA delivers them unchecked",
		"Postfix with smtpd_proxy_filter on the smtpd that has smtpd_milters hands the content to the filter alone; set smtpd_milters on the smtpd behind the filter, and make the filter's address a trusted_relay",
	},
	notIP: {
		"not_evaluated", "had no client address (skip=not_ip, or unknown_client=no_address)",
		"the listener gets mail from a local socket of the MTA, or the MTA does not tell the address of its clients; remove the listener if it is meant for local mail only",
	},
	loopback: {
		"not_evaluated", "came from this host itself (skip=loopback)",
		"a proxy, filter or tunnel in front of the MTA hides the clients; let it pass their address on (XCLIENT or the PROXY protocol), or make it a trusted_relay",
	},
	behindRelay: {
		"not_evaluated", "came through a trusted_relay that does not tell their client: they were evaluated without SPF (unknown_client in the log)",
		"compare the relay's Received field with names, networks and inner_networks of [[trusted_relay]]",
	},
}
