package blob

import (
	"net/netip"
	"time"

	"dmarcgate/policy"
	"dmarcgate/results"
)

func (e *Encoder) row(r *results.Row) {
	in := e.open(rowFacts)
	e.facts(&r.Facts)
	e.close(in)
	in = e.open(rowDecision)
	e.decision(&r.Decision)
	e.close(in)
	e.settings(r.Settings)
	e.text(rowShape, r.Shape)
}

func (m *message) row(r *results.Row) {
	for m.next() {
		switch m.field {
		case rowFacts:
			in := m.open()
			in.facts(&r.Facts)
		case rowDecision:
			in := m.open()
			in.decision(&r.Decision)
		case rowSettings:
			r.Settings = m.settings()
		case rowSum:
			r.Settings = m.text()
		case rowShape:
			r.Shape = m.text()
		}
	}
}

func (e *Encoder) facts(f *policy.Facts) {
	e.number(factsNanos, uint64(f.Time.Nanosecond()%int(time.Millisecond)))
	e.text(factsListener, f.Listener)
	e.text(factsClientZone, f.Client.Zone())
	e.text(factsClientName, f.ClientName)
	e.text(factsHelo, f.Helo)
	if f.Relay.IsValid() {
		in := e.open(factsRelay)
		e.text(addrBytes, string(f.Relay.WithZone("").AsSlice()))
		e.text(addrZone, f.Relay.Zone())
		e.close(in)
	}
	e.flag(factsNullPath, f.NullPath)
	e.text(factsMailFrom, f.MailFrom)
	e.list(factsRecipients, f.Recipients)
	e.text(factsSkip, string(f.Skip))
	e.text(factsFrom, string(f.From))
	e.flag(factsCut, f.Cut)
	for i := range f.Authors {
		in := e.open(factsAuthors)
		e.author(&f.Authors[i])
		e.close(in)
	}
	e.spf(factsSPF, &f.SPF)
	e.spf(factsHELO, &f.HELO)
	for i := range f.DKIM {
		in := e.open(factsDKIM)
		e.dkim(&f.DKIM[i])
		e.close(in)
	}
	e.arc(&f.ARC)
	e.number(factsDeferred, uint64(f.Deferred))
	e.flag(factsStale, f.Stale)
	e.number(factsMarks, marks(f))
	e.text(factsListID, f.ListID)
	e.number(factsSeed, f.Seed)
	e.number(factsLacks, uint64(f.Lacks))
	e.list(factsPressed, f.Pressed)
	e.number(factsForged, uint64(f.Forged))
	e.flag(factsBIMI, f.BIMIEligible)
	e.flag(factsTooMany, f.TooManyForged)
	e.list(factsTrimmed, f.Trimmed)
	e.text(factsUnknown, string(f.UnknownClient))
	e.flag(factsEarlierSPF, f.EarlierSPFFail)
}

func (m *message) facts(f *policy.Facts) {
	for m.next() {
		switch m.field {
		case factsNanos:
			f.Time = f.Time.Add(time.Duration(m.number() % uint64(time.Millisecond)))
		case factsListener:
			f.Listener = m.text()
		case factsClientZone:
			f.Client = f.Client.WithZone(m.text())
		case factsClientName:
			f.ClientName = m.text()
		case factsHelo:
			f.Helo = m.text()
		case factsRelay:
			in := m.open()
			in.addr(&f.Relay)
		case factsNullPath:
			f.NullPath = m.flag()
		case factsMailFrom:
			f.MailFrom = m.text()
		case factsRecipients:
			f.Recipients = append(f.Recipients, m.text())
		case factsSkip:
			text(m, &f.Skip)
		case factsFrom:
			text(m, &f.From)
		case factsCut:
			f.Cut = m.flag()
		default:
			m.checks(f)
		}
	}
}

// checks reads the other fields of facts: those that are messages, and those
// that came later.
func (m *message) checks(f *policy.Facts) {
	switch m.field {
	case factsAuthors:
		in := m.open()
		f.Authors = append(f.Authors, policy.Author{})
		in.author(&f.Authors[len(f.Authors)-1])
	case factsSPF:
		in := m.open()
		in.spf(&f.SPF)
	case factsHELO:
		in := m.open()
		in.spf(&f.HELO)
	case factsDKIM:
		in := m.open()
		f.DKIM = append(f.DKIM, policy.DKIM{})
		in.dkim(&f.DKIM[len(f.DKIM)-1])
	case factsARC:
		in := m.open()
		in.arc(&f.ARC)
	case factsDeferred:
		f.Deferred = time.Duration(m.number())
	case factsStale:
		f.Stale = m.flag()
	case factsMarks:
		m.marks(f)
	case factsListID:
		f.ListID = m.text()
	case factsSeed:
		f.Seed = m.number()
	case factsLacks:
		small(m, &f.Lacks)
	case factsPressed:
		f.Pressed = append(f.Pressed, m.text())
	case factsForged:
		f.Forged = int(m.number())
	case factsBIMI:
		f.BIMIEligible = m.flag()
	case factsTooMany:
		f.TooManyForged = m.flag()
	case factsTrimmed:
		f.Trimmed = append(f.Trimmed, m.text())
	case factsUnknown:
		text(m, &f.UnknownClient)
	case factsEarlierSPF:
		f.EarlierSPFFail = m.flag()
	}
}

func (m *message) addr(a *netip.Addr) {
	var zone string
	for m.next() {
		switch m.field {
		case addrBytes:
			*a, _ = netip.AddrFromSlice([]byte(m.text()))
		case addrZone:
			zone = m.text()
		}
	}
	*a = a.WithZone(zone)
}

func (e *Encoder) spf(field int, s *policy.SPF) {
	if *s == (policy.SPF{}) {
		return
	}
	in := e.open(field)
	e.text(spfResult, s.Result)
	e.text(spfDomain, s.Domain)
	e.text(spfTerm, s.Term)
	e.text(spfReason, s.Reason)
	e.close(in)
}

func (m *message) spf(s *policy.SPF) {
	for m.next() {
		switch m.field {
		case spfResult:
			s.Result = m.text()
		case spfDomain:
			s.Domain = m.text()
		case spfTerm:
			s.Term = m.text()
		case spfReason:
			s.Reason = m.text()
		}
	}
}

func (e *Encoder) dkim(s *policy.DKIM) {
	e.text(dkimResult, s.Result)
	e.text(dkimDomain, s.Domain)
	e.text(dkimSelector, s.Selector)
	e.text(dkimAlgorithm, s.Algorithm)
	e.text(dkimB, s.B)
	e.text(dkimCanon, s.Canon)
	e.number(dkimKeyBits, uint64(s.KeyBits))
	e.flag(dkimTesting, s.Testing)
	e.text(dkimReason, s.Reason)
	e.flag(dkimHeaderOK, s.HeaderOK)
	e.flag(dkimCutByMTA, s.CutByMTA)
	if !s.SignedAt.IsZero() {
		e.element(dkimSignedAt, uint64(s.SignedAt.Unix()))
		e.number(dkimSignedAtNanos, uint64(s.SignedAt.Nanosecond()))
	}
}

func (m *message) dkim(s *policy.DKIM) {
	for m.next() {
		switch m.field {
		case dkimResult:
			s.Result = m.text()
		case dkimDomain:
			s.Domain = m.text()
		case dkimSelector:
			s.Selector = m.text()
		case dkimAlgorithm:
			s.Algorithm = m.text()
		case dkimB:
			s.B = m.text()
		case dkimCanon:
			s.Canon = m.text()
		case dkimKeyBits:
			s.KeyBits = int(m.number())
		case dkimTesting:
			s.Testing = m.flag()
		case dkimReason:
			s.Reason = m.text()
		case dkimHeaderOK:
			s.HeaderOK = m.flag()
		case dkimCutByMTA:
			s.CutByMTA = m.flag()
		case dkimSignedAt:
			s.SignedAt = time.Unix(int64(m.number()), 0).UTC()
		case dkimSignedAtNanos:
			s.SignedAt = s.SignedAt.Add(time.Duration(m.number() % uint64(time.Second)))
		}
	}
}

func (e *Encoder) arc(a *policy.ARC) {
	if a.Result == "" && a.Reason == "" && a.OldestPass == 0 && len(a.Sealers) == 0 {
		return
	}
	in := e.open(factsARC)
	e.text(arcResult, a.Result)
	e.text(arcReason, a.Reason)
	e.number(arcOldestPass, uint64(a.OldestPass))
	for i := range a.Sealers {
		e.sealer(&a.Sealers[i])
	}
	e.close(in)
}

func (e *Encoder) sealer(s *policy.Sealer) {
	in := e.open(arcSealers)
	e.text(sealerDomain, s.Domain)
	e.text(sealerSelector, s.Selector)
	for i := range s.Recorded {
		r := &s.Recorded[i]
		inner := e.open(sealerRecorded)
		e.text(recordedMethod, r.Method)
		e.text(recordedResult, r.Result)
		e.text(recordedDomain, r.Domain)
		e.close(inner)
	}
	e.close(in)
}

func (m *message) arc(a *policy.ARC) {
	for m.next() {
		switch m.field {
		case arcResult:
			a.Result = m.text()
		case arcReason:
			a.Reason = m.text()
		case arcOldestPass:
			a.OldestPass = int(m.number())
		case arcSealers:
			in := m.open()
			a.Sealers = append(a.Sealers, policy.Sealer{})
			in.sealer(&a.Sealers[len(a.Sealers)-1])
		}
	}
}

func (m *message) sealer(s *policy.Sealer) {
	for m.next() {
		switch m.field {
		case sealerDomain:
			s.Domain = m.text()
		case sealerSelector:
			s.Selector = m.text()
		case sealerRecorded:
			in := m.open()
			s.Recorded = append(s.Recorded, policy.Recorded{})
			in.recorded(&s.Recorded[len(s.Recorded)-1])
		}
	}
}

func (m *message) recorded(r *policy.Recorded) {
	for m.next() {
		switch m.field {
		case recordedMethod:
			r.Method = m.text()
		case recordedResult:
			r.Result = m.text()
		case recordedDomain:
			r.Domain = m.text()
		}
	}
}
