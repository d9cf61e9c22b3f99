package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// weighed is a message of user@news.bank.example that fails, with nothing that
// speaks for or against it.
func weighed() Facts {
	return Facts{
		Time: noon, FromField: FromOneMailbox, Client: netip.MustParseAddr("203.0.113.1"),
		Authors: []Author{{
			Domain: "news.bank.example", Org: "bank.example", PolicyDomain: "bank.example", Source: "org",
			Record: "v=DMARC1; p=reject", Verdict: fails(dmarc.Reject), SendsMail: SendsMail{Queried: true},
		}},
		SPF: SPF{Result: "fail", Domain: "news.bank.example"},
	}
}

// knowing is conformant and knows a list.
var knowing = Settings{Profile: Conformant, EnforceShare: 100, Quarantine: Tag, TrustedForwarders: TrustedForwarders{
	Sealers: []string{"lists.example", "mx.example"}, Networks: prefixes("192.0.2.0/24", "2001:db8::/32"), Domains: pats("forwarder.example", ".lists.example"),
}}

// sealed adds a chain that passes, with a hop for each domain. All of them
// recorded the same.
func sealed(f *Facts, recorded []Recorded, domains ...string) {
	f.ARC.Result = "pass"
	for _, d := range domains {
		f.ARC.Sealers = append(f.ARC.Sealers, Sealer{Domain: d, Selector: "s", Recorded: recorded})
	}
}

func recorded(method, result, domain string) []Recorded {
	return []Recorded{{Method: method, Result: result, Domain: domain}}
}

// changed adds a signature of the author domain under which the body was
// changed, made that long ago.
func changed(f *Facts, age time.Duration) *DKIM {
	f.DKIM = append(f.DKIM, DKIM{Result: "fail", Domain: "bank.example", HeaderOK: true, SignedAt: f.Time.Add(-age)})
	f.Authors[0].Signers = []string{"bank.example"}
	return &f.DKIM[len(f.DKIM)-1]
}

type evidenceCase struct {
	row    Evidence
	name   string
	change func(*Facts)
	found  bool
}

// evidenceCases has, for each row of the tables, what it finds and what comes
// close to it but is none.
var evidenceCases = []evidenceCase{
	{ARCSealer, "dmarc=pass for the author domain", func(f *Facts) { sealed(f, recorded("dmarc", "pass", "news.bank.example"), "lists.example") }, true},
	{ARCSealer, "two trusted sealers", func(f *Facts) {
		sealed(f, recorded("dmarc", "pass", "news.bank.example"), "mx.example")
		sealed(f, nil, "lists.example")
	}, true},
	{ARCSealer, "dkim=pass of the organization", func(f *Facts) { sealed(f, recorded("dkim", "pass", "bank.example"), "mx.example") }, true},
	{ARCSealer, "spf=pass of another name of the organization", func(f *Facts) { sealed(f, recorded("spf", "pass", "bounce.bank.example"), "mx.example") }, true},
	{ARCSealer, "dkim=pass of the author domain, strict", func(f *Facts) {
		f.Authors[0].Record = "v=DMARC1; p=reject; adkim=s"
		sealed(f, recorded("dkim", "pass", "news.bank.example"), "mx.example")
	}, true},
	{ARCSealer, "a sealer that nobody knows", func(f *Facts) { sealed(f, recorded("dmarc", "pass", "news.bank.example"), "evil.example") }, false},
	{ARCSealer, "a third party behind a trusted sealer", func(f *Facts) {
		sealed(f, recorded("dmarc", "pass", "news.bank.example"), "lists.example", "evil.example")
	}, false},
	{ARCSealer, "a third party before a trusted sealer", func(f *Facts) {
		sealed(f, recorded("dmarc", "pass", "news.bank.example"), "evil.example", "lists.example")
	}, false},
	{ARCSealer, "a name below a trusted sealer", func(f *Facts) { sealed(f, recorded("dmarc", "pass", "news.bank.example"), "x.lists.example") }, false},
	{ARCSealer, "a chain that fails", func(f *Facts) {
		sealed(f, recorded("dmarc", "pass", "news.bank.example"), "lists.example")
		f.ARC.Result = "fail"
	}, false},
	{ARCSealer, "a chain without a sealer", func(f *Facts) { sealed(f, nil) }, false},
	{ARCSealer, "nothing recorded", func(f *Facts) { sealed(f, nil, "lists.example") }, false},
	{ARCSealer, "dmarc=pass for another domain", func(f *Facts) { sealed(f, recorded("dmarc", "pass", "bank.example"), "lists.example") }, false},
	{ARCSealer, "dmarc=fail", func(f *Facts) { sealed(f, recorded("dmarc", "fail", "news.bank.example"), "lists.example") }, false},
	{ARCSealer, "dmarc=fail beside spf=pass", func(f *Facts) {
		sealed(f, append(recorded("spf", "pass", "x.bank.example"), Recorded{"dmarc", "fail", "news.bank.example"}), "lists.example")
	}, false},
	{ARCSealer, "dkim=pass of the organization, strict", func(f *Facts) {
		f.Authors[0].Record = "v=DMARC1; p=reject; adkim=s"
		sealed(f, recorded("dkim", "pass", "bank.example"), "mx.example")
	}, false},
	{ARCSealer, "spf=pass of the organization, strict", func(f *Facts) {
		f.Authors[0].Record = "v=DMARC1; p=reject; aspf=s"
		sealed(f, recorded("spf", "pass", "bank.example"), "mx.example")
	}, false},
	{ARCSealer, "spf=pass of the organization under a record that cannot be read", func(f *Facts) {
		f.Authors[0].Record = ""
		sealed(f, recorded("spf", "pass", "bank.example"), "mx.example")
	}, false},
	{ARCSealer, "spf=softfail", func(f *Facts) { sealed(f, recorded("spf", "softfail", "news.bank.example"), "mx.example") }, false},
	{ARCSealer, "dkim=pass of a name that ends alike", func(f *Facts) { sealed(f, recorded("dkim", "pass", "evilbank.example"), "mx.example") }, false},
	{ARCSealer, "dkim=pass while the organization is not known", func(f *Facts) {
		f.Authors[0].Org = ""
		sealed(f, recorded("dkim", "pass", "x.example"), "mx.example")
	}, false},
	{ARCSealer, "a method that is none of ours", func(f *Facts) { sealed(f, recorded("iprev", "pass", "bank.example"), "mx.example") }, false},

	{Forwarder, "client in a network", func(f *Facts) { f.Client = netip.MustParseAddr("192.0.2.9") }, true},
	{Forwarder, "client in IPv6 form", func(f *Facts) { f.Client = netip.MustParseAddr("::ffff:192.0.2.9") }, true},
	{Forwarder, "client over IPv6", func(f *Facts) { f.Client = netip.MustParseAddr("2001:db8::9") }, true},
	{Forwarder, "SPF passes for the domain", func(f *Facts) { f.SPF = SPF{Result: "pass", Domain: "forwarder.example"} }, true},
	{Forwarder, "DKIM passes for a name below", func(f *Facts) { f.DKIM = []DKIM{{Result: "fail"}, {Result: "pass", Domain: "a.lists.example"}} }, true},
	{Forwarder, "SPF passes for a stranger", func(f *Facts) { f.SPF = SPF{Result: "pass", Domain: "evil.example"} }, false},
	{Forwarder, "SPF of the domain is neutral", func(f *Facts) { f.SPF = SPF{Result: "neutral", Domain: "forwarder.example"} }, false},
	{Forwarder, "HELO alone passes for the domain", func(f *Facts) { f.HELO = SPF{Result: "pass", Domain: "forwarder.example"} }, false},
	{Forwarder, "DKIM fails for the domain", func(f *Facts) { f.DKIM = []DKIM{{Result: "fail", Domain: "forwarder.example"}} }, false},
	{Forwarder, "DKIM passes with a key in test mode", func(f *Facts) { f.DKIM = []DKIM{{Result: "pass", Domain: "forwarder.example", Testing: true}} }, false},
	{Forwarder, "DKIM passes for a name below an exact one", func(f *Facts) { f.DKIM = []DKIM{{Result: "pass", Domain: "a.forwarder.example"}} }, false},
	{Forwarder, "DKIM passes for the name that others are below", func(f *Facts) { f.DKIM = []DKIM{{Result: "pass", Domain: "lists.example"}} }, false},
	{Forwarder, "it says so in HELO and its name", func(f *Facts) { f.Helo, f.ClientName = "forwarder.example", "forwarder.example" }, false},
	{Forwarder, "client without an address", func(f *Facts) { f.Client = netip.Addr{} }, false},

	{BodyChanged, "signed today", func(f *Facts) { changed(f, time.Hour) }, true},
	{BodyChanged, "signed seven days ago", func(f *Facts) { changed(f, 7*24*time.Hour) }, true},
	{BodyChanged, "signed by a clock that is five minutes ahead", func(f *Facts) { changed(f, -5*time.Minute) }, true},
	{BodyChanged, "beside a signature of a stranger", func(f *Facts) {
		f.DKIM = []DKIM{{Result: "fail", Domain: "evil.example"}}
		changed(f, time.Hour)
	}, true},
	{BodyChanged, "signed more than seven days ago", func(f *Facts) { changed(f, 7*24*time.Hour+time.Second) }, false},
	{BodyChanged, "signed in the future", func(f *Facts) { changed(f, -5*time.Minute-time.Second) }, false},
	{BodyChanged, "no time in the signature", func(f *Facts) { changed(f, 0).SignedAt = time.Time{} }, false},
	{BodyChanged, "the header was changed, too", func(f *Facts) { changed(f, time.Hour).HeaderOK = false }, false},
	{BodyChanged, "a body of any length", func(f *Facts) { changed(f, time.Hour).Result = "policy" }, false},
	{BodyChanged, "a signature of a stranger", func(f *Facts) { changed(f, time.Hour).Domain = "evil.example" }, false},
	{BodyChanged, "a signature that is not aligned, strict or of another organization below", func(f *Facts) {
		changed(f, time.Hour)
		f.Authors[0].Signers = nil
	}, false},

	{SendsNoMail, "v=spf1 -all", func(f *Facts) { f.Authors[0].SendsMail.NoMail = NoMailSPF }, true},
	{SendsNoMail, "null MX", func(f *Facts) { f.Authors[0].SendsMail.NoMail = NoMailMX }, true},
	{SendsNoMail, "nobody asked", func(f *Facts) { f.Authors[0].SendsMail = SendsMail{NoMail: NoMailSPF} }, false},
	{SendsNoMail, "a word that says nothing", func(f *Facts) { f.Authors[0].SendsMail.NoMail = "x" }, false},
	{SendsNoMail, "SPF hard fail", func(f *Facts) { f.SPF.Term = "-all" }, false},
	{SendsNoMail, "nothing authenticates", func(f *Facts) { f.SPF, f.HELO = SPF{Result: "none"}, SPF{Result: "none"} }, false},

	{NoSuchDomain, "NXDOMAIN", func(f *Facts) { f.Authors[0].SendsMail.Missing = true }, true},
	{NoSuchDomain, "nobody asked", func(f *Facts) { f.Authors[0].SendsMail = SendsMail{Missing: true} }, false},
	{NoSuchDomain, "it exists", func(f *Facts) {}, false},

	{SignsMail, "50 messages, all signed", func(f *Facts) { f.Authors[0].History = History{50, 50} }, true},
	{SignsMail, "99 of 100", func(f *Facts) { f.Authors[0].History = History{100, 99} }, true},
	{SignsMail, "a signature of a stranger", func(f *Facts) {
		f.Authors[0].History = History{1000, 1000}
		f.DKIM = []DKIM{{Result: "pass", Domain: "evil.example"}, {Result: "fail", Domain: "evilbank.example"}}
	}, true},
	{SignsMail, "49 messages", func(f *Facts) { f.Authors[0].History = History{49, 49} }, false},
	{SignsMail, "98 of 100", func(f *Facts) { f.Authors[0].History = History{100, 98} }, false},
	{SignsMail, "1979 of 2000, one too few", func(f *Facts) { f.Authors[0].History = History{2000, 1979} }, false},
	{SignsMail, "149 of 151 are not quite 99 percent", func(f *Facts) { f.Authors[0].History = History{151, 149} }, false},
	{SignsMail, "no history", func(f *Facts) { f.Authors[0].History = History{} }, false},
	{SignsMail, "a broken signature of the author domain", func(f *Facts) {
		f.Authors[0].History = History{1000, 1000}
		f.DKIM = []DKIM{{Result: "fail", Domain: "news.bank.example"}}
	}, false},
	{SignsMail, "a broken signature of the organization", func(f *Facts) {
		f.Authors[0].History = History{1000, 1000}
		f.DKIM = []DKIM{{Result: "permerror", Domain: "other.bank.example"}}
	}, false},
}

// outcomes is what Conformant does with each kind of evidence.
var outcomes = map[Evidence]struct {
	action      Action
	disposition Disposition
	reason      Reason
	words       string
}{
	ARCSealer:    {Tag, Quarantined, LocalPolicy, "; a trusted ARC sealer recorded a pass"},
	Forwarder:    {Tag, Quarantined, TrustedForwarder, "; came through a forwarder of the configuration"},
	BodyChanged:  {Tag, Quarantined, LocalPolicy, "; signed by the domain, and only the body was changed"},
	SendsNoMail:  {Reject, Rejected, AsPublished, "; the domain says that it sends no mail"},
	NoSuchDomain: {Reject, Rejected, AsPublished, "; the domain does not exist"},
	SignsMail:    {Reject, Rejected, AsPublished, "; the domain signs its mail, and this has no signature of it"},
	NoEvidence:   {Tag, Quarantined, LocalPolicy, "; p=reject alone does not reject: profile conformant"},
}

func TestConformantFollowsEvidence(t *testing.T) {
	yes, no := make(map[Evidence]int), make(map[Evidence]int)
	for _, tt := range evidenceCases {
		want := NoEvidence
		if tt.found {
			want = tt.row
			yes[tt.row]++
		} else {
			no[tt.row]++
		}
		t.Run(string(tt.row)+": "+tt.name, func(t *testing.T) {
			f := weighed()
			tt.change(&f)
			checkWeighed(t, knowing.Decide(f), want)
		})
	}
	for _, row := range slices.Concat(against, decisive) {
		if yes[row.name] == 0 || no[row.name] == 0 {
			t.Errorf("the row %q has %d cases that it finds and %d that it does not; want some of both", row.name, yes[row.name], no[row.name])
		}
	}
	if got := Evidences(); len(got) != len(outcomes) {
		t.Errorf("Evidences() = %q; want the %d that have an outcome", got, len(outcomes))
	}
}

func checkWeighed(t *testing.T, d Decision, want Evidence) {
	t.Helper()
	o := outcomes[want]
	if d.Evidence != want || d.Action != o.action || d.Disposition != o.disposition || d.Reason != o.reason {
		t.Errorf("Decide() = evidence %q, %v, %v, %q; want %q, %v, %v, %q", d.Evidence, d.Action, d.Disposition, d.Reason, want, o.action, o.disposition, o.reason)
	}
	if !strings.HasSuffix(d.Why, o.words) || d.Requested != dmarc.Reject {
		t.Errorf("Decide() = reason %q, requested %v; want the words %q, reject", d.Why, d.Requested, o.words)
	}
}

// Each row wins over all those below it.
func TestEvidenceHasFixedOrder(t *testing.T) {
	first := make(map[Evidence]func(*Facts))
	for _, c := range evidenceCases {
		if c.found && first[c.row] == nil {
			first[c.row] = c.change
		}
	}
	rows := slices.Concat(against, decisive)
	for i, row := range rows {
		f := weighed()
		for _, below := range rows[i:] {
			if below.name == SignsMail && i <= 2 {
				continue // a signature of the organization speaks against it
			}
			first[below.name](&f)
		}
		checkWeighed(t, knowing.Decide(f), row.name)
	}
}

func TestForwarderEvidenceNeedsConfiguredForwarder(t *testing.T) {
	for _, tt := range evidenceCases {
		if tt.row == ARCSealer || tt.row == Forwarder {
			f := weighed()
			tt.change(&f)
			checkWeighed(t, Settings{Profile: Conformant, EnforceShare: 100, Quarantine: Tag}.Decide(f), NoEvidence)
		}
	}
}

// With every evidence at hand, nothing but Conformant with a policy of reject
// looks at it.
func TestEvidenceCountsForConformantAndRejectOnly(t *testing.T) {
	full := weighed()
	full.Authors[0].SendsMail.NoMail = NoMailSPF
	tests := []struct {
		name   string
		s      Settings
		change func(*Author)
		want   Evidence
		action Action
	}{
		{"reject", knowing, func(*Author) {}, SendsNoMail, Reject},
		{"quarantine", knowing, func(a *Author) { a.Verdict.Policy = dmarc.Quarantine }, NotWeighed, Tag},
		{"none", knowing, func(a *Author) { a.Verdict.Policy = dmarc.None }, NotWeighed, Accept},
		{"reject with t=y", knowing, func(a *Author) { a.Verdict.Testing = true }, NotWeighed, Tag},
		{"reject that pct does not select", knowing, func(a *Author) { a.Verdict.Pct = 0 }, NotWeighed, Tag},
		{"pass", knowing, func(a *Author) { a.Verdict.Status = dmarc.Pass }, NotWeighed, Accept},
		{"temperror", knowing, func(a *Author) { a.Verdict.Status = dmarc.TempError }, NotWeighed, Accept},
		{"an unusable record", knowing, func(a *Author) { a.Verdict.Status = dmarc.PermError }, NotWeighed, Accept},
		{"strict", Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag}, func(*Author) {}, NotWeighed, Reject},
		{"monitor", Settings{Profile: Monitor, Quarantine: Tag}, func(*Author) {}, NotWeighed, Accept},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := full
			f.Authors = slices.Clone(full.Authors)
			tt.change(&f.Authors[0])
			if d := tt.s.Decide(f); d.Evidence != tt.want || d.Action != tt.action {
				t.Errorf("Decide() = evidence %q, %v; want %q, %v", d.Evidence, d.Action, tt.want, tt.action)
			}
		})
	}
}

func TestEvidenceAgainstOneAuthorDomainExcusesNoOther(t *testing.T) {
	f := weighed()
	changed(&f, time.Hour)
	other := author("nobody.example", fails(dmarc.Reject))
	other.SendsMail = SendsMail{Queried: true, Missing: true}
	f.FromField, f.Authors = FromSeveralDomains, append(f.Authors, other)
	if d := knowing.Decide(f); d.Author != "nobody.example" || d.Evidence != NoSuchDomain || d.Action != Reject {
		t.Errorf("Decide() = %q, evidence %q, %v; want nobody.example refused as %q", d.Author, d.Evidence, d.Action, NoSuchDomain)
	}
}

func TestQuarantineByRejectIsReportedAsLocalPolicy(t *testing.T) {
	f := weighed()
	f.Client = netip.MustParseAddr("192.0.2.9")
	s := knowing
	s.Quarantine = Reject
	if d := s.Decide(f); d.Evidence != Forwarder || d.Disposition != Rejected || d.Reason != LocalPolicy {
		t.Errorf("Decide() = %q, %v, %q; want %q, reject, local_policy", d.Evidence, d.Disposition, d.Reason, Forwarder)
	}
}

func TestRulePrecedesEvidence(t *testing.T) {
	f := weighed()
	changed(&f, time.Hour)
	match := Match{Client: nets("203.0.113.0/24")}
	tests := []struct {
		action RuleAction
		want   Action
	}{{RuleReject, Reject}, {RuleAccept, Accept}, {RuleAsPublished, Reject}, {RuleQuarantine, Tag}}
	for _, tt := range tests {
		s := knowing
		s.Rules = set(t, Rule{Mode: Enforce, Action: tt.action, Match: match})
		if d := s.Decide(f); d.Action != tt.want || d.Rule != "r" || d.Evidence != BodyChanged {
			t.Errorf("%v: Decide() = %v by rule %q, evidence %q; want %v by r, and what the profile found", tt.action, d.Action, d.Rule, d.Evidence, tt.want)
		}
	}
	other := author("other.example", fails(dmarc.None))
	f.FromField, f.Authors = FromSeveralDomains, append(f.Authors, other)
	s := knowing
	s.Rules = set(t, Rule{Mode: Enforce, Action: RuleReject, Match: Match{Author: pats("other.example")}})
	if d := s.Decide(f); d.Author != "other.example" || d.Evidence != NotWeighed {
		t.Errorf("Decide() = %q, evidence %q; want other.example, for which nothing was weighed", d.Author, d.Evidence)
	}
}

func TestEvidenceMattersToAFailWithAPolicyOfReject(t *testing.T) {
	for _, status := range []dmarc.Status{dmarc.StatusNone, dmarc.Pass, dmarc.Fail, dmarc.TempError, dmarc.PermError} {
		for _, p := range []dmarc.Policy{dmarc.None, dmarc.Quarantine, dmarc.Reject} {
			want := status == dmarc.Fail && p == dmarc.Reject
			if got := EvidenceMatters(dmarc.Verdict{Status: status, Policy: p}); got != want {
				t.Errorf("EvidenceMatters(%v, p=%v) = %v; want %v", status, p, got, want)
			}
		}
	}
}
