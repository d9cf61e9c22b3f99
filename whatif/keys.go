package whatif

import (
	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/replay"
	"dmarcgate/site/shape"
)

// stored is a stored message, with the settings that it is decided by again.
type stored struct {
	facts *policy.Facts
	try   *policy.Settings
}

// reach is what of a message another value could change: some facts, or all.
type reach struct {
	missing policy.MissingFacts
	all     bool
}

var (
	untouched = reach{}
	whole     = reach{all: true}
)

func wholeIf(affected bool) reach { return reach{all: affected} }

// affects says what of a message that was evaluated could be otherwise under
// another value of a shaping key. What a key that is not here affects is not
// known: all may be otherwise.
var affects = map[string]func(m *stored, was, now shape.Value) reach{
	"trusted_relay.networks":       anyRelay,
	"trusted_relay.names":          anyRelay,
	"trusted_relay.inner_networks": anyRelay,
	// Of a message with more forged fields than can be removed, nothing is accepted.
	// Which fields are forged hangs on our names; how many others a message has is
	// not in the facts.
	"authserv_id":             anything,
	"authserv_ids_also":       anything,
	"listener.authserv_id":    anything,
	"listener.trust_mta_name": anything,
	"header.remove_bimi":      bimiRemoved,
	"discovery.method":        hasAuthors,
	"discovery.psl_file":      hasAuthors,
	"dkim.body_length":        partlySigned,
	"dkim.max_key_bits":       longKey,
	"temperror.max_defer":     deferral,
	"sampling.secret_file":    drawn,
	"limits.header_fields":    cutHeader,
	"limits.header_bytes":     cutHeader,
	"limits.header_memory":    cutHeader,
	"limits.recipients":       recipientsCut,
	"limits.message_budget":   waiting,
	"dns.servers":             anything,
	"dns.query_timeout":       anything, // a longer one leaves less time for the next server
	"dns.timeout":             waiting,
	"dns.max_in_flight":       waiting,
	"dns.failure_ttl":         remembering,
	"dns.stale_after":         waiting,
	"dns.stale_ttl":           remembering,
	"dns.stale_negative_ttl":  remembering,
	// How long answers are used matters only where the DNS has changed or failed
	// meanwhile. What names answer is taken to be what they have answered.
	"dns.cache_size":       failedLookup,
	"dns.min_ttl":          failedLookup,
	"dns.max_ttl":          failedLookup,
	"dns.max_negative_ttl": failedLookup,
	// What is deleted is no history when the daemon starts again.
	"store.retention": anyHistory,
}

// affectedBy is what a changed key affects of a message.
func affectedBy(c shape.ChangedKey, m *stored) reach {
	if f := affects[c.Key]; f != nil {
		return f(m, c.Was, c.Now)
	}
	return whole
}

// bimiRemoved: of a message with more forged fields than can be removed, nothing
// is accepted.
func bimiRemoved(m *stored, was, now shape.Value) reach {
	return wholeIf(now.Number > was.Number || m.facts.TooManyForged)
}

// recipientsCut: of more recipients than the limit, those above it are not known.
func recipientsCut(*stored, shape.Value, shape.Value) reach {
	return reach{missing: policy.MissingRecipients}
}

// anyRelay: which client a message has is the business of origin.
func anyRelay(*stored, shape.Value, shape.Value) reach { return untouched }

func hasAuthors(m *stored, _, _ shape.Value) reach { return wholeIf(len(m.facts.Authors) > 0) }

func anything(*stored, shape.Value, shape.Value) reach { return whole }

// partlySigned: "refuse" is the longer word, and makes "policy" of every
// signature with l=. Which ones have it is not in the facts.
func partlySigned(m *stored, was, now shape.Value) reach {
	if now.Number < was.Number {
		return wholeIf(m.facts.ARC.Result == "fail" || m.signature(func(s *policy.DKIM) bool { return s.Result == "policy" }))
	}
	return wholeIf(m.facts.ARC.Result == "pass" || m.signature(func(s *policy.DKIM) bool { return s.Result == "pass" || s.Result == "fail" }))
}

// longKey: the keys of seals are not in the facts.
func longKey(m *stored, was, now shape.Value) reach {
	if now.Number > was.Number {
		return wholeIf(m.facts.ARC.Result == "fail" || m.signature(func(s *policy.DKIM) bool { return s.Result == "policy" }))
	}
	return wholeIf(m.facts.ARC.Result == "pass" || m.signature(func(s *policy.DKIM) bool {
		return int64(s.KeyBits) > now.Number || s.KeyBits == 0 && (s.Result == "pass" || s.Result == "fail")
	}))
}

// deferral: how long a sender has been deferred is counted anew after a pause
// longer than max_defer.
func deferral(m *stored, was, now shape.Value) reach {
	other := *m.facts
	other.Deferred = 0 // a pause that was none ends the counting
	if now.Number > was.Number {
		other.Deferred = 1<<63 - 1 // a pause that was one ends nothing
	}
	a, b := m.try.Decide(*m.facts), m.try.Decide(other)
	return wholeIf(!replay.Equal(&a, &b))
}

// drawn: rules with a sample and enforce_share need the seed, pct the draws.
func drawn(m *stored, _, _ shape.Value) reach {
	for i := range m.facts.Authors {
		v := &m.facts.Authors[i].Verdict
		if v.Status == dmarc.Fail && v.Policy != dmarc.None && !v.Testing && v.Pct > 0 && v.Pct < 100 && !m.try.IgnorePct {
			return whole
		}
	}
	return reach{missing: policy.MissingSeed}
}

// cutHeader: under a smaller limit more headers are cut; how long they are is
// not in the facts.
func cutHeader(m *stored, was, now shape.Value) reach {
	return wholeIf(now.Number < was.Number || m.facts.HeaderTruncated)
}

// waiting: who waits longer gets the answers that came, and perhaps others.
func waiting(m *stored, was, now shape.Value) reach {
	if now.Number < was.Number {
		return whole
	}
	return failedLookup(m, was, now)
}

// remembering is the opposite: a failure or a stale answer that counts for longer
// can stand in the place of a new one.
func remembering(m *stored, was, now shape.Value) reach {
	if now.Number > was.Number {
		return whole
	}
	return failedLookup(m, was, now)
}

// failedLookup: a lookup has failed, or was answered from what was old.
func failedLookup(m *stored, _, _ shape.Value) reach {
	f := m.facts
	failed := f.Stale || f.SPF.Result == "temperror" || f.HELO.Result == "temperror" || f.ARC.Result == "fail" || len(f.Pressed) > 0 ||
		m.signature(func(s *policy.DKIM) bool { return s.Result == "temperror" })
	for i := range f.Authors {
		a := &f.Authors[i]
		failed = failed || a.Verdict.Status == dmarc.TempError || policy.EvidenceMatters(a.Verdict) && !a.SendsMail.Queried
	}
	return wholeIf(failed)
}

func anyHistory(m *stored, _, _ shape.Value) reach {
	for i := range m.facts.Authors {
		if m.facts.Authors[i].Verdict.Status != dmarc.Pass {
			return whole
		}
	}
	return untouched
}

func (m *stored) signature(is func(*policy.DKIM) bool) bool {
	for i := range m.facts.DKIM {
		if is(&m.facts.DKIM[i]) {
			return true
		}
	}
	return false
}
