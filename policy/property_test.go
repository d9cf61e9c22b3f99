package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/scale"
	"dmarcgate/scope"
)

// generated is how many messages each property is tried with.
func generated(t *testing.T) int { return 2000 * scale.Of(t) }

// maker makes messages out of few words, so that they meet.
type maker struct{ *rand.Rand }

func newMaker() maker { return maker{rand.New(rand.NewPCG(9989, 7489))} }

func pick[T any](m maker, from ...T) T { return from[m.IntN(len(from))] }

func (m maker) yes(percent int) bool { return m.IntN(100) < percent }

func (m maker) result() string {
	return pick(m, "pass", "fail", "fail", "fail", "softfail", "none", "temperror", "permerror", "policy")
}

func (m maker) domain() string {
	return pick(m, "bank.example", "news.bank.example", "x.bank.example", "shop.example", "forwarder.example", "a.lists.example", "stranger.example")
}

func (m maker) facts() Facts {
	f := Facts{
		Time: noon.Add(time.Duration(m.IntN(1000)) * time.Minute), Listener: pick(m, "mta", "x"), Helo: "h.example",
		Client:    pick(m, netip.Addr{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::1")),
		FromField: FromOneMailbox, NullPath: m.yes(20), HeaderTruncated: m.yes(2), SPF: SPF{Result: m.result(), Domain: m.domain()},
		Recipients: []string{pick(m, "a.example", "b.example")}, Deferred: pick(m, 0, time.Hour, 5*time.Hour),
	}
	if m.yes(30) {
		f.FromField = pick(m, FromSeveralMailboxes, FromSeveralDomains, FromSeveralDomains, FromMissing, FromUnparsable, FromSeveralFields, FromEmptyGroup, From("x"))
	}
	if m.yes(2) {
		f.Skip = pick(m, Authenticated, Loopback)
	}
	for range m.IntN(3) {
		f.DKIM = append(f.DKIM, m.signature(f.Time))
	}
	if m.yes(40) {
		f.ARC = m.chain("lists.example", "mx.example")
	}
	for range pick(m, 1, 1, 1, 1, 2, 3, 5, 6, 0) {
		f.Authors = append(f.Authors, m.author(f.DKIM))
	}
	return f
}

func (m maker) signature(now time.Time) DKIM {
	return DKIM{
		Result: m.result(), Domain: m.domain(), Testing: m.yes(20), HeaderOK: m.yes(70), CutByMTA: m.yes(5),
		SignedAt: pick(m, time.Time{}, now.Add(-time.Hour), now.AddDate(0, 0, -8)),
	}
}

func (m maker) chain(sealers ...string) ARC {
	c := ARC{Result: pick(m, "pass", "pass", "fail")}
	for range 1 + m.IntN(2) {
		s := Sealer{Domain: pick(m, sealers...), Selector: "s"}
		for range m.IntN(4) {
			s.Recorded = append(s.Recorded, Recorded{pick(m, "spf", "dkim", "dmarc"), pick(m, "pass", "pass", "fail"), m.domain()})
		}
		c.Sealers = append(c.Sealers, s)
	}
	return c
}

func (m maker) author(signatures []DKIM) Author {
	a := Author{
		Domain: pick(m, "bank.example", "news.bank.example", "x.bank.example"), Org: pick(m, "bank.example", "bank.example", "bank.example", ""),
		Record: pick(m, "v=DMARC1; p=reject", "v=DMARC1; p=reject; adkim=s; aspf=s", ""), Draw: uint8(m.IntN(100)),
		Verdict: dmarc.Verdict{
			Status: pick(m, dmarc.Fail, dmarc.Fail, dmarc.Fail, dmarc.Fail, dmarc.Fail, dmarc.Fail, dmarc.Pass, dmarc.StatusNone, dmarc.TempError, dmarc.PermError),
			Policy: pick(m, dmarc.None, dmarc.Quarantine, dmarc.Reject, dmarc.Reject, dmarc.Reject, dmarc.Reject), Testing: m.yes(10), Pct: pick(m, uint8(100), 100, 100, 100, 50, 0),
			AlignedSPF: m.yes(10), AlignedDKIM: m.yes(10), Cause: pick(m, dmarc.CauseOurs, dmarc.CauseDomain, dmarc.CausePressure), Why: "why",
		},
		SendsMail: pick(m, SendsMail{}, SendsMail{Queried: true}, SendsMail{Queried: true}, SendsMail{Queried: true, NoMail: NoMailSPF}, SendsMail{Queried: true, Missing: true}),
		History:   pick(m, History{}, History{10, 10}, History{100, 100}, History{100, 50}),
	}
	for _, s := range signatures {
		if scope.AtOrBelow(s.Domain, a.Org) && m.yes(80) {
			a.Signers = append(a.Signers, s.Domain)
		}
	}
	return a
}

func (m maker) settings(t *testing.T) Settings {
	answer := func() FromAnswer { return FromAnswer(m.IntN(4)) }
	s := Settings{
		EnforceShare: 100, Profile: pick(m, Monitor, Conformant, Conformant, Conformant, Conformant, Strict), Quarantine: pick(m, Tag, Tag, Hold, Reject), IgnorePct: m.yes(30),
		TempOurs: pick(m, Tag, Tempfail), TempDomain: pick(m, Tag, Tempfail), MaxDefer: 4 * time.Hour,
		From:              FromAnswers{answer(), answer(), answer(), answer(), answer(), answer()},
		TrustedForwarders: pick(m, TrustedForwarders{}, knowing.TrustedForwarders),
	}
	if m.yes(30) {
		s.Rules = set(t,
			Rule{ID: "a", Mode: pick(m, Enforce, Shadow), Action: pick(m, RuleAccept, RuleQuarantine, RuleAsPublished), Match: Match{SPFPass: pats("forwarder.example"), Result: []string{"fail"}}},
			Rule{ID: "b", Mode: pick(m, Enforce, Shadow), Action: pick(m, RuleReject, RuleTempfail), Match: Match{DKIMPass: pats(".lists.example")}},
		)
	}
	return s
}

// each calls f with generated messages and settings.
func each(t *testing.T, f func(maker, Settings, Facts)) {
	t.Helper()
	m := newMaker()
	for range generated(t) {
		f(m, m.settings(t), m.facts())
		if t.Failed() {
			return
		}
	}
}

// text is everything in v; what it points to is in it, too.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestDecideDependsOnlyOnFactsAndSettings(t *testing.T) {
	each(t, func(_ maker, s Settings, f Facts) {
		before := text(f)
		first, second := s.Decide(f), s.Decide(f)
		if !reflect.DeepEqual(first, second) {
			t.Errorf("Decide(%s) = %+v, then %+v", before, first, second)
		}
		if after := text(f); after != before {
			t.Errorf("Decide changed the facts from %s to %s", before, after)
		}
		var stored Facts
		if err := json.Unmarshal([]byte(before), &stored); err != nil {
			t.Fatal(err)
		}
		if again := s.Decide(stored); text(again) != text(first) {
			t.Errorf("Decide(%s) after it was stored = %+v; want %+v", before, again, first)
		}
	})
}

// forge adds what a third party can write or send: a chain of his own, passes and
// fails of his own domains, names of his own.
func (m maker) forge(f Facts) Facts {
	f.DKIM = slices.Clone(f.DKIM)
	for range m.IntN(4) {
		s := m.signature(f.Time)
		s.Domain = pick(m, "stranger.example", "evilbank.example", "bank.example.evil.example", "lists.example.evil.example", "example")
		f.DKIM = slices.Insert(f.DKIM, m.IntN(len(f.DKIM)+1), s)
	}
	if f.ARC.Result == "" && m.yes(80) {
		f.ARC = m.chain("stranger.example", "lists.example.evil.example", "evillists.example")
		if m.yes(50) { // he can put trusted names before his own, not behind it
			f.ARC.Sealers = append(m.chain("lists.example", "mx.example").Sealers, f.ARC.Sealers...)
		}
	}
	if !(f.SPF.Result == "pass" && f.SPF.Domain == "forwarder.example") && !(f.SPF.Result == "pass" && f.SPF.Domain == "a.lists.example") && m.yes(80) {
		f.SPF = SPF{Result: m.result(), Domain: "stranger.example"}
	}
	f.HELO = SPF{Result: "pass", Domain: m.domain()}
	f.Helo, f.ClientName = m.domain(), m.domain()
	return f
}

func TestDecideIgnoresUnauthenticatedText(t *testing.T) {
	evidence := make(map[Evidence]int)
	each(t, func(m maker, s Settings, f Facts) {
		forged := m.forge(f)
		want := s.Decide(f)
		evidence[want.Evidence]++
		if got := s.Decide(forged); !reflect.DeepEqual(got, want) {
			t.Errorf("in %v, Decide(%s) = %+v;\nand with what a third party adds, Decide(%s) = %+v; want the same", s.Profile, text(f), want, text(forged), got)
		}
	})
	for _, e := range Evidences() {
		if evidence[e] == 0 {
			t.Errorf("no message was decided by the evidence %q: the property says less than it should", e)
		}
	}
}

func TestDecideIgnoresStaleMarkBesideVerdict(t *testing.T) {
	each(t, func(_ maker, s Settings, f Facts) {
		fresh := s.Decide(f)
		f.Stale = true
		if got := s.Decide(f); !reflect.DeepEqual(got, fresh) {
			t.Errorf("Decide(%s) = %s; want %s, as without Stale", text(f), text(got), text(fresh))
		}
	})
}

// What conformant may not do, and what nobody may.
func TestConformantNeedsMoreThanPReject(t *testing.T) {
	each(t, func(_ maker, s Settings, f Facts) {
		d := s.Decide(f)
		conclusive := slices.Contains([]Evidence{SendsNoMail, NoSuchDomain, SignsMail}, d.Evidence)
		if s.Profile == Conformant && d.Action == Reject && !conclusive && d.Rule == "" && s.Quarantine != Reject && !s.unusable(f) {
			t.Errorf("conformant: Decide(%s) = %+v; want no refusal", text(f), d)
		}
		if (s.Profile == Monitor || f.Skip != Evaluated) && d.Action != Accept {
			t.Errorf("%v: Decide(%s) = %+v; want nothing enforced", s.Profile, text(f), d)
		}
		if weighed := d.Evidence != NotWeighed; weighed && (s.Profile != Conformant || d.Requested != dmarc.Reject) {
			t.Errorf("%v: Decide(%s) = %+v; want evidence for conformant and p=reject alone", s.Profile, text(f), d)
		}
	})
}

// ordinary is one message that passes, with all that is usually known of it.
func ordinary() Facts {
	return Facts{
		Time: noon, Listener: "mta", QueueID: "4XyZ1", Client: netip.MustParseAddr("192.0.2.1"), FromField: FromOneMailbox,
		MailFrom: "bounce.bank.example", Recipients: []string{"receiver.example"},
		SPF:  SPF{Result: "pass", Domain: "bounce.bank.example"},
		DKIM: []DKIM{{Result: "pass", Domain: "bank.example", Selector: "s"}},
		Authors: []Author{{
			Domain: "bank.example", Org: "bank.example", PolicyDomain: "bank.example", Source: "author", Record: "v=DMARC1; p=reject",
			Verdict: dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true, AlignedDKIM: true},
		}},
	}
}

func TestDecideAllocatesLittle(t *testing.T) {
	rules := set(t, Rule{Mode: Enforce, Action: RuleReject, Match: Match{Author: pats("bank.example")}})
	for _, profile := range []Profile{Monitor, Conformant, Strict} {
		for _, rs := range []Rules{{}, rules} {
			s, f := Settings{Profile: profile, EnforceShare: 100, Quarantine: Tag, Rules: rs, TrustedForwarders: knowing.TrustedForwarders}, ordinary()
			if got := testing.AllocsPerRun(100, func() { s.Decide(f) }); got > 2 {
				t.Errorf("%v, %d rules: Decide allocates %v times; want at most 2", profile, rs.Len(), got)
			}
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	fails := weighed()
	for _, bb := range []struct {
		name  string
		facts Facts
	}{{"pass", ordinary()}, {"fail", fails}} {
		for _, profile := range []Profile{Conformant, Strict} {
			b.Run(fmt.Sprint(bb.name, "/", profile), func(b *testing.B) {
				s := Settings{Profile: profile, EnforceShare: 100, Quarantine: Tag, TrustedForwarders: knowing.TrustedForwarders}
				b.ReportAllocs()
				for b.Loop() {
					s.Decide(bb.facts)
				}
			})
		}
	}
}
