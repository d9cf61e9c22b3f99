package policy

import (
	"slices"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/pattern"
)

// failing is a message that fails under p=reject and of which something gave
// way.
func failing(pressed ...string) Facts {
	f := one(dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100})
	f.SPF, f.HELO = SPF{Result: tempWord, Domain: "list.example"}, SPF{Result: "none"}
	f.DKIM = []DKIM{{Result: tempWord, Domain: "list.example"}}
	f.ARC = ARC{Result: "fail", Sealers: []Sealer{{Domain: "sealer.example", Recorded: []Recorded{{"dmarc", "pass", "bank.example"}}}}}
	f.Authors[0].SendsMail = SendsMail{}
	f.Pressed = pressed
	return f
}

func TestDecideTempfailsUnderDNSPressure(t *testing.T) {
	strict := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag}
	conformant := Settings{Profile: Conformant, EnforceShare: 100, Quarantine: Tag}
	with := func(s Settings, known TrustedForwarders, rules ...Rule) Settings {
		s.TrustedForwarders = known
		if len(rules) > 0 {
			var err error
			if s.Rules, err = NewRules(rules); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	accepts := func(m Match) Rule {
		return Rule{ID: "list", Owner: "ops", Reason: LocalPolicy, Comment: "x", Created: noon, Action: RuleAccept, Mode: Enforce, Match: m}
	}
	list := []pattern.Domain{pattern.NewDomain(pattern.Exact, "list.example")}
	sealer := []pattern.Domain{pattern.NewDomain(pattern.Exact, "sealer.example")}
	asked := failing(PressedSendsMail)
	asked.Authors[0].SendsMail.Queried = true
	signs := failing(PressedARC)
	signs.Authors[0].History = History{Messages: HistoryMessages, DKIMPass: HistoryMessages}
	for _, tt := range []struct {
		name string
		s    Settings
		f    Facts
		want Action
	}{
		{"nothing gave way", strict, failing(), Reject},
		{"a third party's key gave way, and nothing hangs on it", strict, failing(PressedDKIM), Reject},
		{"so did its SPF", strict, failing(PressedSPF, PressedHELO), Reject},
		{"and the chain", strict, failing(PressedARC), Reject},
		{"and what only the profile conformant looks at", strict, failing(PressedSendsMail), Reject},
		{"a rule accepts by the key", with(strict, TrustedForwarders{}, accepts(Match{DKIMPass: list})), failing(PressedDKIM), Tempfail},
		{"a rule accepts by SPF", with(strict, TrustedForwarders{}, accepts(Match{SPFPass: list})), failing(PressedSPF), Tempfail},
		{"a rule accepts by the chain", with(strict, TrustedForwarders{}, accepts(Match{ARCPass: sealer})), failing(PressedARC), Tempfail},
		{"a rule accepts by the key, and SPF gave way", with(strict, TrustedForwarders{}, accepts(Match{DKIMPass: list})), failing(PressedSPF), Reject},
		{"the standing of the author domain, under conformant", conformant, failing(PressedSendsMail), Tempfail},
		{"it was asked after all", conformant, asked, Tag},
		{"a third party's key, under conformant", conformant, failing(PressedDKIM), Tag},
		{"the key of a known forwarder makes no other answer than no evidence", with(conformant, TrustedForwarders{Domains: list}), failing(PressedDKIM), Tag},
		{"the chain of a known sealer, where history refuses", with(conformant, TrustedForwarders{Sealers: []string{"sealer.example"}}), signs, Tempfail},
		{"the chain of a third party, where history refuses", conformant, signs, Reject},
		{"monitor defers nothing", Settings{Profile: Monitor}, failing(PressedARC, PressedDKIM, PressedSPF, PressedSendsMail), Accept},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.f.DKIM)
			d := tt.s.Decide(tt.f)
			if d.Action != tt.want || d.Action == Tempfail && !strings.Contains(d.Why, "our DNS is overloaded or down") {
				t.Errorf("Decide() = %v because of %q; want %v", d.Action, d.Why, tt.want)
			}
			if !slices.Equal(before, tt.f.DKIM) || tt.f.ARC.Result != "fail" {
				t.Error("Decide() has changed the facts")
			}
		})
	}
}
