package whatif

import (
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/policy/replay"
	"dmarcgate/policy/sum"
	"dmarcgate/results"
	"dmarcgate/site/shape"
	"dmarcgate/survey"
)

// evaluator decides the messages of one listener.
type evaluator struct {
	sum      string // of the settings; never ""
	settings policy.Settings
	again    func(policy.Facts) (policy.Decision, bool)
	evidence func(policy.Facts) policy.Evidence // what conformant would go by, rules aside
	suffixes dmarc.Suffixes

	// How the facts of the messages of this listener would come about; the zero
	// value asks for nothing else than what is stored.
	shape           string // results.Row.Shape
	trusted, relays []netip.Prefix
	noARC           bool // decide as if no message had an ARC chain

	lastShape string // of the last row, with what differs from shape
	changed   []shape.ChangedKey
	known     bool
}

// newEvaluator makes an evaluator of settings. suffixes gives organizational domains of
// names that nobody has looked up; nil is the list built in.
func newEvaluator(s policy.Settings, suffixes dmarc.Suffixes) *evaluator {
	if suffixes == nil {
		suffixes = dmarc.PublicSuffix()
	}
	return &evaluator{
		sum: sum.Settings(s), settings: s, again: func(f policy.Facts) (policy.Decision, bool) { return replay.Again(s, f) }, suffixes: suffixes,
		evidence: survey.Weigher(s),
	}
}

// evaluating says how the facts of a listener come about.
func (j *evaluator) evaluating(cfg *config.Config, l config.Listener) *evaluator {
	j.shape, j.trusted = shape.Of(cfg, nil), l.TrustedNetworks
	for _, r := range cfg.TrustedRelays {
		j.relays = append(j.relays, r.Networks...)
	}
	return j
}

// ruling is what an evaluator makes of a stored message.
type ruling struct {
	policy.Decision
	// doubt is why the decision could be another one; "" is sure.
	doubt string
	// assumed says that the row does not name the settings that shaped its facts: they
	// are taken to be those of the candidate.
	assumed bool
	// same says that the settings that made the row are these, all those that
	// could have a part in it: then the stored decision must come out again.
	same bool
}

// olderShape is the doubt about a row whose shape cannot be read.
const olderShape = "recorded by another version, in a form that does not tell the settings which shaped the facts"

// rule decides a message again.
func (j *evaluator) rule(row *results.Row) ruling {
	f := row.Facts
	changed, known := j.differing(row.Shape)
	assumed := row.Shape == "" && j.shape != "" // of a program that did not store it
	if assumed {
		changed, known = nil, true
	}
	r := ruling{assumed: assumed, same: row.Settings == j.sum && len(changed) == 0 && known && !assumed && !j.noARC}
	if r.doubt = j.origin(&f, changed, known); r.doubt != "" {
		r.same = false
		return r
	}
	r.same = r.same && f.Skip == row.Facts.Skip
	if j.noARC {
		f.ARC = policy.ARC{}
		f.Missing &^= policy.MissingARC
	}
	var sure bool
	if f.Skip != policy.Evaluated {
		r.Decision, _ = j.again(f)
		return r
	}
	if !known {
		r.doubt = olderShape
		return r
	}
	keys, missing, doubt := j.affecting(&f, changed)
	if r.doubt = doubt; doubt != "" {
		return r
	}
	before := f.Missing
	f.Missing |= missing
	if r.Decision, sure = j.again(f); sure {
		return r
	}
	f.Missing = before
	if _, sure = j.again(f); sure {
		r.doubt = otherKeys(keys)
	} else {
		r.doubt = missingFacts(f.AllMissing())
	}
	return r
}

// differing returns the keys whose values are not those of the row.
func (j *evaluator) differing(text string) (changed []shape.ChangedKey, known bool) {
	if j.shape == "" {
		return nil, true
	}
	if text != j.lastShape || j.lastShape == "" {
		j.lastShape = strings.Clone(text)
		j.changed, j.known = shape.ChangedKeys(text, j.shape)
	}
	return j.changed, j.known
}

// affecting returns which keys leave facts of a message in doubt, and which
// facts; or the doubt about all of it.
func (j *evaluator) affecting(f *policy.Facts, changed []shape.ChangedKey) (keys []string, missing policy.MissingFacts, doubt string) {
	var all []string
	m := stored{facts: f, try: &j.settings}
	for _, c := range changed {
		switch r := affectedBy(c, &m); {
		case r.all:
			all = append(all, c.Key)
		case r.missing != 0:
			keys, missing = append(keys, c.Key), missing|r.missing
		}
	}
	if all != nil {
		return nil, 0, otherKeys(all)
	}
	return keys, missing, ""
}

// otherKeys is the doubt that keys leave.
func otherKeys(keys []string) string { return "recorded with another " + strings.Join(keys, ", ") }

// origin decides anew whether a message is evaluated, as enforce does from the
// client. The doubt is which client it would be, or what an evaluation that did
// not take place would have found.
func (j *evaluator) origin(f *policy.Facts, changed []shape.ChangedKey, known bool) (doubt string) {
	if j.shape == "" || f.Skip == policy.NotIP {
		return ""
	}
	fromRelay := f.Relay.IsValid() || f.Skip == policy.BehindRelay
	if keys := relayKeys(changed, known); keys != nil && (fromRelay || clientWithin(f, j.relays) != outside) {
		return otherKeys(keys)
	}
	if fromRelay || f.Skip == policy.Authenticated || f.Skip == policy.Loopback || !f.Client.IsValid() {
		return "" // trusted networks are about clients of this host
	}
	const key = "listener.trusted_networks"
	switch clientWithin(f, j.trusted) {
	case inside:
		f.Skip = policy.TrustedNetwork
	case perhaps:
		return missingFacts(policy.MissingClient) + ", which " + key + " needs"
	case outside:
		if f.Skip == policy.TrustedNetwork {
			return "not evaluated under another " + key
		}
	}
	return ""
}

// relayKeys are the keys about relays that differ.
func relayKeys(changed []shape.ChangedKey, known bool) (keys []string) {
	if !known {
		return []string{"trusted_relay.networks"}
	}
	for _, c := range changed {
		if strings.HasPrefix(c.Key, "trusted_relay.") {
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// whereabouts says whether a client is in some networks.
type whereabouts uint8

const (
	outside whereabouts = iota
	perhaps             // its address is no longer kept, and its network holds both
	inside
)

// clientWithin looks for the client in networks, as enforce does.
func clientWithin(f *policy.Facts, networks []netip.Prefix) whereabouts {
	if f.AllMissing()&policy.MissingClient == 0 {
		if slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(f.Client) }) {
			return inside
		}
		return outside
	}
	around, err := netip.ParsePrefix(survey.ClientNetwork(f.Client))
	if err != nil {
		return outside
	}
	found := outside
	for _, p := range networks {
		switch {
		case p.Bits() <= around.Bits() && p.Contains(around.Addr()):
			return inside
		case p.Overlaps(around):
			found = perhaps
		}
	}
	return found
}
