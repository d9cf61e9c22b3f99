package policy

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/pattern"
)

// full is a failing message of which everything is known that rules look at.
// Noon is on a Saturday.
func full() Facts {
	f := relayed(fails(dmarc.Reject))
	f.Time, f.Version, f.Seed = noon, FactsVersion, 4711
	f.ClientName, f.Helo, f.MailFrom, f.ListID = "mx.relay.example", "helo.relay.example", "relay.example", "lists.example"
	f.IsList, f.Automatic, f.TLS = true, true, true
	a := &f.Authors[0]
	a.Domain, a.Org, a.PolicyDomain, a.Record = "news.bank.example", "bank.example", "bank.example", "v=DMARC1; p=reject"
	a.History = History{Messages: 50, DKIMPass: 50}
	sealed(&f, recorded("dmarc", "pass", a.Domain), "first.example", "second.example")
	changed(&f, time.Hour)
	return f
}

// passedBy makes the author domain one that passes.
func passedBy(spf, dkim bool) func(*Facts) {
	return func(f *Facts) {
		f.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: spf, AlignedDKIM: dkim, Why: "aligned pass"}
	}
}

// keyCases has, for each key, when it holds and when it does not.
var keyCases = []struct {
	key    string
	name   string
	match  Match
	change func(*Facts)
	want   bool
}{
	{"client", "in a map", Match{Client: []pattern.Network{pattern.NewNetMap("m", prefixes("192.0.2.0/30")).Pattern()}}, nil, true},
	{"client", "in no network of a map", Match{Client: []pattern.Network{pattern.NewNetMap("m", prefixes("192.0.2.4/30")).Pattern()}}, nil, false},
	{"iprev", "the name", Match{IPRev: pats(".relay.example")}, nil, true},
	{"iprev", "another name", Match{IPRev: pats("relay.example")}, nil, false},
	{"iprev", "no name", Match{IPRev: pats(".relay.example")}, func(f *Facts) { f.ClientName = "" }, false},
	{"spf_pass", "the domain", Match{SPFPass: pats("relay.example")}, nil, true},
	{"spf_pass", "another domain", Match{SPFPass: pats("other.example")}, nil, false},
	{"dkim_pass", "the domain, of a map", Match{DKIMPass: []pattern.Domain{pattern.NewDomainMap("m", pats("list.example")).Pattern()}}, nil, true},
	{"dkim_pass", "another domain, of a map", Match{DKIMPass: []pattern.Domain{pattern.NewDomainMap("m", pats(".list.example")).Pattern()}}, nil, false},
	{"arc_pass", "every sealer", Match{ARCPass: pats("first.example", "second.example")}, nil, true},
	{"arc_pass", "the last alone", Match{ARCPass: pats("second.example")}, nil, false},
	{"arc_pass", "the first alone", Match{ARCPass: pats("first.example")}, nil, false},
	{"arc_pass", "a chain that fails", Match{ARCPass: pats("first.example", "second.example")}, func(f *Facts) { f.ARC.Result = "fail" }, false},
	{"arc_pass", "nothing recorded", Match{ARCPass: pats("first.example", "second.example")}, func(f *Facts) {
		f.ARC = ARC{}
		sealed(f, nil, "first.example", "second.example")
	}, false},
	{"arc_pass", "a pass of another domain recorded", Match{ARCPass: pats("first.example")}, func(f *Facts) {
		f.ARC = ARC{}
		sealed(f, recorded("dmarc", "pass", "bank.example"), "first.example")
	}, false},
	{"arc_pass", "no sealer", Match{ARCPass: pats("first.example")}, func(f *Facts) { f.ARC.Sealers = nil }, false},
	{"arc_pass", "no author domain, and one recorded", Match{ARCPass: pats("first.example"), Result: []string{"permerror"}}, func(f *Facts) {
		f.ARC, f.FromField = ARC{}, FromUnparsable
		sealed(f, recorded("dmarc", "pass", ""), "first.example")
	}, false},
	{"spf", "one of them", Match{SPF: []string{"softfail", "fail"}}, func(f *Facts) { f.SPF.Result = "softfail" }, true},
	{"spf", "another", Match{SPF: []string{"fail"}}, func(f *Facts) { f.SPF.Result = "softfail" }, false},
	{"spf", "not checked is none", Match{SPF: []string{"none"}}, func(f *Facts) { f.SPF.Result = "" }, true},
	{"authenticated", "by SPF for anything", Match{Authenticated: new(true)}, func(f *Facts) { f.DKIM = nil }, true},
	{"authenticated", "by a signature for anything", Match{Authenticated: new(true)}, func(f *Facts) { f.SPF.Result = "fail" }, true},
	{"authenticated", "by a key in test mode", Match{Authenticated: new(true)}, func(f *Facts) {
		f.SPF.Result, f.DKIM = "none", []DKIM{{Result: "pass", Domain: "x.example", Testing: true}}
	}, false},
	{"authenticated", "false", Match{Authenticated: new(false)}, nil, false},
	{"authenticated", "false, and nothing passes", Match{Authenticated: new(false)}, func(f *Facts) { f.SPF.Result, f.DKIM = "neutral", nil }, true},
	{"listener", "it", Match{Listener: []string{"mta"}}, nil, true},
	{"listener", "another", Match{Listener: []string{"x"}}, nil, false},
	{"tls", "true", Match{TLS: new(true)}, nil, true},
	{"tls", "false", Match{TLS: new(false)}, nil, false},
	{"helo", "the name", Match{HELO: pats("helo.relay.example")}, nil, true},
	{"helo", "another", Match{HELO: pats("relay.example")}, nil, false},
	{"helo", "an address", Match{HELO: pats(".2.example")}, func(f *Facts) { f.Helo = "[192.0.2.1]" }, false},
	{"mail_from", "though SPF fails", Match{MailFrom: pats("relay.example")}, func(f *Facts) { f.SPF.Result = "fail" }, true},
	{"mail_from", "none", Match{MailFrom: pats("relay.example")}, func(f *Facts) { f.MailFrom = "" }, false},
	{"null_path", "true", Match{NullPath: new(true)}, func(f *Facts) { f.NullPath = true }, true},
	{"null_path", "a path", Match{NullPath: new(true)}, nil, false},
	{"null_path", "false", Match{NullPath: new(false)}, nil, true},
	{"time", "now", Match{Hours: []pattern.Hours{{Begin: 0, End: 1}, {Begin: 12 * 60, End: 13 * 60}}}, nil, true},
	{"time", "later", Match{Hours: []pattern.Hours{{Begin: 12*60 + 1, End: 24 * 60}}}, nil, false},
	{"time", "not in UTC", Match{Hours: []pattern.Hours{{Begin: 12 * 60, End: 13 * 60}}}, func(f *Facts) { f.Time = noon.In(time.FixedZone("", 7200)) }, true},
	{"weekday", "today", Match{Weekdays: []pattern.Weekday{0, 6}}, nil, true},
	{"weekday", "tomorrow", Match{Weekdays: []pattern.Weekday{0}}, nil, false},
	{"weekday", "today in UTC alone", Match{Weekdays: []pattern.Weekday{6}}, func(f *Facts) { f.Time = noon.In(time.FixedZone("", 14*3600)) }, true},
	{"tz", "the hour there", Match{Hours: []pattern.Hours{{Begin: 13 * 60, End: 14 * 60}}, TZ: berlin()}, nil, true},
	{"tz", "the hour in UTC", Match{Hours: []pattern.Hours{{Begin: 12 * 60, End: 13 * 60}}, TZ: berlin()}, nil, false},
	{"tz", "tomorrow there, and today in UTC", Match{Weekdays: []pattern.Weekday{6}, TZ: berlin()}, func(f *Facts) { f.Time = noon.Add(11 * time.Hour) }, false},
	{"list_id", "the domain", Match{ListID: pats("lists.example")}, nil, true},
	{"list_id", "another", Match{ListID: pats("announce.lists.example")}, nil, false},
	{"list_headers", "true", Match{IsList: new(true)}, nil, true},
	{"list_headers", "false", Match{IsList: new(false)}, nil, false},
	{"auto_submitted", "true", Match{Automatic: new(true)}, nil, true},
	{"auto_submitted", "false", Match{Automatic: new(false)}, nil, false},
	{"author", "the organization, of a map", Match{Author: []pattern.Domain{pattern.NewDomainMap("m", pats("org:bank.example")).Pattern()}}, nil, true},
	{"author", "another, of a map", Match{Author: []pattern.Domain{pattern.NewDomainMap("m", pats("bank.example")).Pattern()}}, nil, false},
	{"policy_domain", "it", Match{PolicyDomain: pats("bank.example")}, nil, true},
	{"policy_domain", "its organization", Match{PolicyDomain: pats("org:bank.example")}, nil, true},
	{"policy_domain", "the author domain", Match{PolicyDomain: pats("news.bank.example")}, nil, false},
	{"policy_domain", "a public suffix is of no organization", Match{PolicyDomain: pats("org:bank.example")}, func(f *Facts) { f.Authors[0].PolicyDomain = "example" }, false},
	{"policy_domain", "no record", Match{PolicyDomain: pats("org:bank.example"), Result: []string{"none"}}, func(f *Facts) {
		f.Authors[0].PolicyDomain, f.Authors[0].Verdict = "", dmarc.Verdict{}
	}, false},
	{"result", "fail", Match{Result: []string{"none", "fail"}}, nil, true},
	{"result", "none", Match{Result: []string{"none"}}, nil, false},
	{"result", "pass", Match{Result: []string{"pass"}}, passedBy(true, false), true},
	{"result", "pass of one that fails", Match{Result: []string{"pass"}}, nil, false},
	{"pass_by", "SPF", Match{Result: []string{"pass"}, PassBy: []string{"spf"}}, passedBy(true, false), true},
	{"pass_by", "both are not SPF alone", Match{Result: []string{"pass"}, PassBy: []string{"spf"}}, passedBy(true, true), false},
	{"pass_by", "both", Match{Result: []string{"pass"}, PassBy: []string{"dkim", "both"}}, passedBy(true, true), true},
	{"pass_by", "a pass whose record is not known", Match{Result: []string{"pass"}, PassBy: []string{"dkim"}}, func(f *Facts) {
		f.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.TempError, AlignedDKIM: true}
	}, true},
	{"earlier_spf_fail", "true", Match{EarlierSPFFail: new(true)}, func(f *Facts) { f.EarlierSPFFail = true }, true},
	{"earlier_spf_fail", "no such field", Match{EarlierSPFFail: new(true)}, nil, false},
	{"requested", "the policy", Match{Requested: []string{"quarantine", "reject"}}, nil, true},
	{"requested", "the policy before t=y", Match{Requested: []string{"reject"}}, func(f *Facts) { f.Authors[0].Verdict.Testing = true }, true},
	{"requested", "another", Match{Requested: []string{"none"}}, nil, false},
	{"requested", "of no fail", Match{Requested: []string{"none"}, Result: []string{"permerror"}}, func(f *Facts) { f.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.PermError} }, false},
	{"from_field", "it", Match{FromField: []From{FromOneMailbox}}, nil, true},
	{"from_field", "another", Match{FromField: []From{FromSeveralMailboxes}}, nil, false},
	{"from_field", "nothing is unparsable", Match{FromField: []From{FromUnparsable}, Result: []string{"permerror"}}, func(f *Facts) { f.FromField = "" }, true},
	{"body_changed", "true", Match{BodyChanged: new(true)}, nil, true},
	{"body_changed", "however old the signature", Match{BodyChanged: new(true)}, func(f *Facts) { f.DKIM[2].SignedAt = time.Time{} }, true},
	{"body_changed", "false", Match{BodyChanged: new(false)}, nil, false},
	{"body_changed", "by a stranger", Match{BodyChanged: new(true)}, func(f *Facts) { f.Authors[0].Signers = nil }, false},
	{"body_changed", "the header as well", Match{BodyChanged: new(true)}, func(f *Facts) { f.DKIM[2].HeaderOK = false }, false},
	{"body_changed", "where signers are no evidence names are compared", Match{BodyChanged: new(true)}, func(f *Facts) {
		f.Authors[0].Signers, f.Authors[0].Verdict.Policy = nil, dmarc.Quarantine
	}, true},
	{"body_changed", "the same, strict", Match{BodyChanged: new(true)}, func(f *Facts) {
		f.Authors[0].Signers, f.Authors[0].Verdict.Policy, f.Authors[0].Record = nil, dmarc.Quarantine, "v=DMARC1; p=quarantine; adkim=s"
	}, false},
	{"history_min", "as many", Match{HistoryMin: new(50)}, nil, true},
	{"history_min", "fewer", Match{HistoryMin: new(51)}, nil, false},
	{"history_max", "as many", Match{HistoryMax: new(50)}, nil, true},
	{"history_max", "more", Match{HistoryMax: new(49)}, nil, false},
	{"history_max", "of no domain", Match{HistoryMax: new(50), Result: []string{"permerror"}}, func(f *Facts) { f.FromField = FromUnparsable }, false},
	{"rcpt_domain", "both", Match{RcptDomain: pats("a.example", "b.example")}, nil, true},
	{"rcpt_domain", "neither", Match{RcptDomain: pats("c.example")}, nil, false},

	{"not_client", "elsewhere", Match{Not: Exclude{Client: nets("198.51.100.0/24")}}, nil, true},
	{"not_client", "there", Match{Not: Exclude{Client: relay}}, nil, false},
	{"not_client", "no address", Match{Not: Exclude{Client: relay}}, func(f *Facts) { f.Client = netip.Addr{} }, true},
	{"not_client", "a part of a network", Match{Client: relay, Not: Exclude{Client: nets("192.0.2.1/32")}}, nil, false},
	{"not_iprev", "another", Match{Not: Exclude{IPRev: pats("relay.example")}}, nil, true},
	{"not_iprev", "it", Match{Not: Exclude{IPRev: pats(".relay.example")}}, nil, false},
	{"not_iprev", "no name", Match{Not: Exclude{IPRev: pats(".relay.example")}}, func(f *Facts) { f.ClientName = "" }, true},
	{"not_spf_pass", "another passes", Match{Not: Exclude{SPFPass: pats("other.example")}}, nil, true},
	{"not_spf_pass", "it passes", Match{Not: Exclude{SPFPass: pats("relay.example")}}, nil, false},
	{"not_spf_pass", "it fails", Match{Not: Exclude{SPFPass: pats("relay.example")}}, func(f *Facts) { f.SPF.Result = "fail" }, true},
	{"not_dkim_pass", "it fails", Match{Not: Exclude{DKIMPass: pats("bank.example")}}, nil, true},
	{"not_dkim_pass", "it passes", Match{Not: Exclude{DKIMPass: pats("list.example")}}, nil, false},
	{"not_helo", "another", Match{Not: Exclude{HELO: pats("relay.example")}}, nil, true},
	{"not_helo", "it", Match{Not: Exclude{HELO: pats("helo.relay.example")}}, nil, false},
	{"not_mail_from", "another", Match{Not: Exclude{MailFrom: pats(".relay.example")}}, nil, true},
	{"not_mail_from", "it", Match{Not: Exclude{MailFrom: pats("relay.example")}}, nil, false},
	{"not_list_id", "another", Match{Not: Exclude{ListID: pats(".lists.example")}}, nil, true},
	{"not_list_id", "it", Match{Not: Exclude{ListID: pats("lists.example")}}, nil, false},
	{"not_author", "another", Match{Not: Exclude{Author: pats("bank.example")}}, nil, true},
	{"not_author", "it", Match{Not: Exclude{Author: pats("org:bank.example")}}, nil, false},
	{"not_policy_domain", "another", Match{Not: Exclude{PolicyDomain: pats("news.bank.example")}}, nil, true},
	{"not_policy_domain", "it", Match{Not: Exclude{PolicyDomain: pats("bank.example")}}, nil, false},
	{"not_rcpt_domain", "neither", Match{Not: Exclude{RcptDomain: pats("c.example")}}, nil, true},
	{"not_rcpt_domain", "one", Match{Not: Exclude{RcptDomain: pats("a.example")}}, nil, false},
	{"not_rcpt_domain", "a recipient that is not known", Match{Not: Exclude{RcptDomain: pats("c.example")}}, func(f *Facts) { f.Recipients = nil }, false},
}

// berlin is an hour ahead of UTC when it is noon.
func berlin() *pattern.Zone {
	var z pattern.Zone
	if err := z.UnmarshalText([]byte("Europe/Berlin")); err != nil {
		panic(err)
	}
	return &z
}

func TestMatchKeyHoldsForItsFact(t *testing.T) {
	yes, no := make(map[string]bool), make(map[string]bool)
	for _, tt := range keyCases {
		if tt.want {
			yes[tt.key] = true
		} else {
			no[tt.key] = true
		}
		t.Run(tt.key+": "+tt.name, func(t *testing.T) {
			f := full()
			if tt.change != nil {
				tt.change(&f)
			}
			r := Rule{ID: "r", Mode: Enforce, Action: RuleAccept, Match: tt.match}
			if tt.match.passes() {
				r.Action = RuleTag
			}
			rules := compile([]Rule{r})
			if d := (Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, Rules: rules}).Decide(f); (d.Rule == "r") != tt.want {
				t.Errorf("Decide() = %+v; want the rule to match: %v", d, tt.want)
			}
		})
	}
	for _, k := range new(Match).Keys() {
		if !yes[k.Name] || !no[k.Name] {
			t.Errorf("the key %s has no case where it holds or none where it does not", k.Name)
		}
	}
}

// Match, its keys and its copies have every field of Match and Exclude.
func TestKeysAreUniqueAndCopied(t *testing.T) {
	var want, got []string
	for i, name := range jsonNames(Match{}) {
		if name != "not" {
			want = append(want, name)
			checkKey(t, name, func(m *Match) reflect.Value { return reflect.ValueOf(m).Elem().Field(i) })
		}
	}
	for i, name := range jsonNames(Exclude{}) {
		want = append(want, "not_"+name)
		checkKey(t, "not_"+name, func(m *Match) reflect.Value { return reflect.ValueOf(&m.Not).Elem().Field(i) })
	}
	for _, k := range new(Match).Keys() {
		got = append(got, k.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("keys() names %q; want %q", got, want)
	}
}

func jsonNames(v any) []string {
	var names []string
	for f := range reflect.TypeOf(v).Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// checkKey sets one field.
func checkKey(t *testing.T, name string, field func(*Match) reflect.Value) {
	t.Helper()
	var m Match
	fillValue(field(&m))
	c := m.clone()
	if !reflect.DeepEqual(c, m) || field(&c).Pointer() == field(&m).Pointer() {
		t.Errorf("clone of %s = %+v; want %+v in memory of its own", name, c, m)
	}
	for _, k := range m.Keys() {
		if k.Set != (k.Name == name) || k.Set && k.Items != 1 || !k.Set && k.Items+len(k.Domains)+len(k.Networks) > 0 {
			t.Errorf("keys of %s has %+v; want one item of %s and nothing else", name, k, name)
		}
	}
}

// fillValue sets a list to one item, and a pointer to a value.
func fillValue(v reflect.Value) {
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	} else {
		v.Set(reflect.New(v.Type().Elem()))
	}
}

func TestMatchAuthorKeysHoldTogetherForEachDomain(t *testing.T) {
	bank, shop := author("bank.example", fails(dmarc.Reject)), author("shop.example", fails(dmarc.Quarantine))
	bank.History.Messages = 100
	passed := author("good.example", dmarc.Verdict{Status: dmarc.Pass})
	tests := []struct {
		name    string
		action  RuleAction
		match   Match
		authors []Author
		want    bool
	}{
		{"one of each key is not one author domain", RuleReject, Match{Author: pats("bank.example"), Requested: []string{"quarantine"}}, []Author{bank, shop}, false},
		{"both keys for one", RuleReject, Match{Author: pats("shop.example"), Requested: []string{"quarantine"}}, []Author{bank, shop}, true},
		{"a denial and a key", RuleReject, Match{Author: pats("bank.example", "shop.example"), Not: Exclude{Author: pats("bank.example")}}, []Author{bank, shop}, true},
		{"a milder rule, denied for one", RuleAccept, Match{Not: Exclude{Author: pats("bank.example")}}, []Author{bank, shop}, false},
		{"a milder rule, denied for one that passed", RuleAccept, Match{Not: Exclude{Author: pats("good.example")}}, []Author{bank, passed}, true},
		{"a milder rule, and the history of one", RuleAccept, Match{HistoryMin: new(1)}, []Author{bank, shop}, false},
		{"a milder rule, and the history of all that did not pass", RuleAccept, Match{HistoryMin: new(1)}, []Author{bank, passed}, true},
		{"no report is as milder", RuleSkipReport, Match{Author: pats("bank.example")}, []Author{bank, shop}, false},
		{"no report for all", RuleSkipReport, Match{Author: pats("bank.example", "shop.example")}, []Author{bank, shop}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := full()
			f.FromField, f.Authors = FromSeveralDomains, tt.authors
			rules := compile([]Rule{{ID: "r", Mode: Enforce, Action: tt.action, Match: tt.match}})
			if d := (Settings{Profile: Strict, EnforceShare: 100, Rules: rules}).Decide(f); (d.Rule+d.Unreported == "r") != tt.want {
				t.Errorf("Decide() = %+v; want the rule to match: %v", d, tt.want)
			}
		})
	}
}

func TestMatchRecipientKeysHoldTogetherForEachDomain(t *testing.T) {
	m := Match{RcptDomain: []pattern.Domain{pattern.NewDomain(pattern.Below, "example")}, Not: Exclude{RcptDomain: pats("b.example")}}
	for _, tt := range []struct {
		action RuleAction
		rcpt   []string
		want   bool
	}{
		{RuleReject, []string{"a.example", "b.example"}, true},
		{RuleReject, []string{"b.example", "a.test"}, false},
		{RuleAccept, []string{"a.example", "b.example"}, false},
		{RuleAccept, []string{"a.example", "c.example"}, true},
		{RuleSkipReport, []string{"a.example", "b.example"}, false},
	} {
		f := full()
		f.Recipients = tt.rcpt
		rules := compile([]Rule{{ID: "r", Mode: Enforce, Action: tt.action, Match: m}})
		if d := (Settings{Profile: Strict, EnforceShare: 100, Rules: rules}).Decide(f); (d.Rule+d.Unreported == "r") != tt.want {
			t.Errorf("%v for %q: Decide() = %+v; want the rule to match: %v", tt.action, tt.rcpt, d, tt.want)
		}
	}
}
