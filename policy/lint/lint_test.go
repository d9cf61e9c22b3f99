package lint

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

func TestFaultsFindUnsafeRules(t *testing.T) {
	tests := []struct {
		name   string
		change func(*policy.Rule)
		want   string // keys with a fault
	}{
		{"a good one", func(*policy.Rule) {}, ""},
		{"no id", func(r *policy.Rule) { r.ID = "" }, "id"},
		{"an id in capitals", func(r *policy.Rule) { r.ID = "Relay" }, "id"},
		{"an id with a hyphen first", func(r *policy.Rule) { r.ID = "-relay" }, "id"},
		{"the longest id", func(r *policy.Rule) { r.ID = strings.Repeat("a", 64) }, ""},
		{"an id that is too long", func(r *policy.Rule) { r.ID = strings.Repeat("a", 65) }, "id"},
		{"no owner", func(r *policy.Rule) { r.Owner = "" }, "owner"},
		{"no day of creation", func(r *policy.Rule) { r.Created = time.Time{} }, "created"},
		{"the highest priority", func(r *policy.Rule) { r.Priority = 1000 }, ""},
		{"a priority that is too high", func(r *policy.Rule) { r.Priority = 1001 }, "priority"},
		{"a priority below zero", func(r *policy.Rule) { r.Priority = -1 }, "priority"},
		{"accept without a reason", func(r *policy.Rule) { r.Reason = "" }, "reason"},
		{"quarantine without a reason", func(r *policy.Rule) { r.Reason, r.Action = "", policy.RuleQuarantine }, ""},
		{"a reason that is not one of rules", func(r *policy.Rule) { r.Reason, r.Action = policy.SampledOut, policy.RuleQuarantine }, "reason"},
		{"accept for ever without a comment", func(r *policy.Rule) { r.Comment = "" }, "expires"},
		{"accept for a time without a comment", func(r *policy.Rule) { r.Comment, r.Expires = "", r.Created.AddDate(0, 0, 1) }, ""},
		{"reject for ever without a comment", func(r *policy.Rule) { r.Comment, r.Action = "", policy.RuleReject }, ""},
		{"an end at the beginning", func(r *policy.Rule) { r.Expires = r.Created }, "expires"},
		{"nothing to match", func(r *policy.Rule) { r.Match, r.Action = policy.Match{}, policy.RuleReject }, "match"},
		{"an empty list", func(r *policy.Rule) { r.Match.RcptDomain = pats() }, ""},
		{"an empty list that is there", func(r *policy.Rule) { r.Match.RcptDomain = []pattern.Domain{} }, "match.rcpt_domain"},
		{"a result that is a pass", func(r *policy.Rule) { r.Match.Result = []string{"fail", "pass"} }, "match.result"},
		{"a result that is none", func(r *policy.Rule) { r.Match.Result = []string{"softfail"} }, "match.result"},
		{"all results", func(r *policy.Rule) { r.Match.Result = []string{"fail", "none", "permerror", "temperror"} }, ""},
		{"reject of a temperror", func(r *policy.Rule) { r.Match.Result, r.Action = []string{"fail", "temperror"}, policy.RuleReject }, "match.result"},
		{"tempfail of a temperror", func(r *policy.Rule) { r.Match.Result, r.Action = []string{"temperror"}, policy.RuleTempfail }, ""},
		{"as published without a policy", func(r *policy.Rule) { r.Match.Result, r.Action = []string{"none"}, policy.RuleAsPublished }, "match.result"},
		{"as published for fail", func(r *policy.Rule) { r.Match.Result, r.Action = []string{"fail"}, policy.RuleAsPublished }, ""},
		{"accept by the author domain", func(r *policy.Rule) { r.Match = policy.Match{Author: pats("a.example")} }, "match"},
		{"accept by the recipient", func(r *policy.Rule) { r.Match = policy.Match{RcptDomain: pats("a.example")} }, "match"},
		{"accept by listener and result", func(r *policy.Rule) { r.Match = policy.Match{Listener: []string{"mta"}, Result: []string{"fail"}} }, "match"},
		{"reject by the author domain", func(r *policy.Rule) {
			r.Match, r.Action = policy.Match{Author: pats("a.example")}, policy.RuleReject
		}, ""},
		{"accept by SPF", func(r *policy.Rule) { r.Match = policy.Match{SPFPass: pats("a.example")} }, ""},
		{"accept by DKIM", func(r *policy.Rule) { r.Match = policy.Match{DKIMPass: pats("a.example")} }, ""},
		{"the widest networks, of certain authors", func(r *policy.Rule) {
			r.Match = policy.Match{Client: nets("192.168.0.0/16", "2a00::/32"), Author: pats("a.example")}
		}, ""},
		{"too wide a network of IPv4", func(r *policy.Rule) { r.Match.Client = nets("192.0.2.0/24", "192.168.0.0/15") }, "match"},
		{"too wide a network of IPv6", func(r *policy.Rule) { r.Match.Client = nets("2a00::/31") }, "match"},
		{"a wide network beside DKIM", func(r *policy.Rule) { r.Match.Client, r.Match.DKIMPass = nets("0.0.0.0/1"), pats("a.example") }, ""},
		{"a wide network beside SPF", func(r *policy.Rule) { r.Match.Client, r.Match.SPFPass = nets("0.0.0.0/1"), pats("a.example") }, ""},
		{"reject of a wide network", func(r *policy.Rule) { r.Match.Client, r.Action = nets("0.0.0.0/1"), policy.RuleReject }, ""},
		{"everybody below a suffix, by DKIM", func(r *policy.Rule) { r.Match = policy.Match{DKIMPass: pats("a.example", ".co.uk")} }, "match"},
		{"everybody below a suffix, by SPF", func(r *policy.Rule) { r.Match = policy.Match{SPFPass: pats(".co.uk")} }, "match"},
		{"quarantine of everybody below a suffix", func(r *policy.Rule) {
			r.Match, r.Action = policy.Match{Author: pats(".co.uk")}, policy.RuleQuarantine
		}, "match"},
		{"reject of everybody below a suffix, by SPF", func(r *policy.Rule) { r.Match, r.Action = policy.Match{SPFPass: pats(".co.uk")}, policy.RuleReject }, ""},
		{"an organization of signatures", func(r *policy.Rule) { r.Match = policy.Match{DKIMPass: pats("org:a.example")} }, "match.dkim_pass"},
		{"an organization of SPF", func(r *policy.Rule) { r.Match.SPFPass = pats("org:a.example") }, "match.spf_pass"},
		{"an organization of recipients", func(r *policy.Rule) { r.Match.RcptDomain = pats("org:a.example") }, "match.rcpt_domain"},
		{"an organization of records", func(r *policy.Rule) { r.Match.PolicyDomain = pats("org:a.example") }, ""},
		{"an organization of authors", func(r *policy.Rule) { r.Match.Author = pats("org:a.example") }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.change(&r)
			var keys []string
			for _, f := range errorsIn(r) {
				keys = append(keys, f.Key)
				if f.Text == "" || f.Fix == "" {
					t.Errorf("fault %+v; want what is wrong and how to fix it", f)
				}
			}
			if got := strings.Join(keys, " "); got != tt.want {
				t.Errorf("Faults = %q; want %q", got, tt.want)
			}
		})
	}
}

// errorsIn returns what keeps a rule by itself from being loaded.
func errorsIn(r policy.Rule) []policy.Finding {
	return slices.DeleteFunc(Rules([]policy.Rule{r}, Options{}), func(f policy.Finding) bool { return f.Level != policy.Error })
}

func TestFaultsNamePlaceProblemAndFix(t *testing.T) {
	tests := []struct {
		name   string
		change func(*policy.Rule)
		want   string
	}{
		{"a key of the rule", func(r *policy.Rule) { r.Owner = "" }, `rule "relay": owner: is empty; write an address or team responsible for the rule`},
		{"a result that accepting rules are never about", func(r *policy.Rule) { r.Match.Result = []string{"pass"} },
			`rule "relay": match.result: mail that passes is let in anyway; remove "pass", or write action = "tag", "quarantine", "tempfail" or "reject"`},
		{"a result that there is not", func(r *policy.Rule) { r.Match.Result = []string{"softfail"} },
			`rule "relay": match.result: unknown word "softfail"; write "fail", "none", "permerror" or "temperror"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.change(&r)
			if _, err := policy.NewRules([]policy.Rule{r}); err == nil || err.Error() != tt.want {
				t.Errorf("NewRules = %v; want %s", err, tt.want)
			}
		})
	}
}

// today is the day of lint in these tests, after the creation of good rules.
var today = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// sound is a rule about which there is nothing to say.
func sound() policy.Rule {
	r := good()
	r.Comment, r.Expires = "", r.Created.AddDate(0, 6, 0)
	r.Match = policy.Match{Client: nets("192.0.2.0/24"), RcptDomain: pats("us.example")}
	r.Tests = []policy.Test{{}}
	r.File, r.Line = "f", 3
	return r
}

// lintOf returns what Rules says of the rules, as "rule:code" with a "!" after an
// error.
func lintOf(t *testing.T, o Options, rules ...policy.Rule) string {
	t.Helper()
	var words []string
	level := policy.Error
	for _, f := range Rules(rules, o) {
		if f.Text == "" || f.Fix == "" || f.File == "" || f.Line == 0 || !slices.Contains(policy.Codes(), f.Code) {
			t.Errorf("finding %+v; want a known code, a place, what is wrong and how to fix it", f)
		}
		if f.Level > level {
			t.Errorf("an error after a warning: %+v", f)
		}
		level = f.Level
		if f.Level == policy.Remark { // see remark_test.go
			continue
		}
		words = append(words, f.Rule+":"+f.Code+map[policy.Level]string{policy.Error: "!"}[f.Level])
	}
	return strings.Join(words, " ")
}

func ptr[T any](v T) *T { return &v }

func TestLintReportsFindingsOfOneRule(t *testing.T) {
	match := func(m policy.Match) func(*policy.Rule) { return func(r *policy.Rule) { r.Match = m } }
	us := pats("us.example")
	tests := []struct {
		name   string
		change func(*policy.Rule)
		want   string // "" or a code
	}{
		{"nothing", func(*policy.Rule) {}, ""},
		{"nothing, for ever, with idle", func(r *policy.Rule) { r.Expires, r.Comment, r.Idle = time.Time{}, "c", 1<<62 }, ""},
		{"forwarded, as RFC 7489 has it", func(r *policy.Rule) { r.Reason = "forwarded" }, ""},
		{"what a domain owner published", func(r *policy.Rule) { r.Reason = policy.PolicyTestMode }, "bad_reason!"},
		{"a comment with a line end", func(r *policy.Rule) { r.ReportComment = "a\nb" }, "bad_report_comment!"},
		{"the longest comment", func(r *policy.Rule) { r.ReportComment = strings.Repeat("~", policy.MaxReportComment) }, ""},
		{"too long a comment", func(r *policy.Rule) { r.ReportComment = strings.Repeat("~", policy.MaxReportComment+1) }, "bad_report_comment!"},
		{"all of the messages", func(r *policy.Rule) { r.Sample = 100 }, ""},
		{"more than all", func(r *policy.Rule) { r.Sample = 101 }, "bad_sample!"},
		{"idle before it began", func(r *policy.Rule) { r.Idle = -1 }, "bad_idle!"},
		{"an empty list of what is not", func(r *policy.Rule) { r.Match.Not.HELO = []pattern.Domain{} }, "empty_list!"},
		{"an empty list of words", func(r *policy.Rule) { r.Match.Weekdays = []pattern.Weekday{} }, "empty_list!"},
		{"a policy that nobody publishes", func(r *policy.Rule) { r.Match.Requested = []string{"discard"} }, "unknown_word!"},
		{"a From field of another kind", func(r *policy.Rule) { r.Match.FromField = []policy.From{"two"} }, "unknown_word!"},
		{"no hours", func(r *policy.Rule) { r.Match.Hours = []pattern.Hours{{Begin: 60, End: 60}} }, "bad_range!"},
		{"hours of another planet", func(r *policy.Rule) { r.Match.Hours = []pattern.Hours{{Begin: 60, End: 24*60 + 1}} }, "bad_range!"},
		{"hours over midnight", func(r *policy.Rule) { r.Match.Hours = []pattern.Hours{{Begin: 22 * 60, End: 6 * 60}} }, ""},
		{"an eighth day", func(r *policy.Rule) { r.Match.Weekdays = []pattern.Weekday{7} }, "bad_range!"},
		{"more history than there may be", func(r *policy.Rule) { r.Match.HistoryMin, r.Match.HistoryMax = ptr(2), ptr(1) }, "bad_range!"},
		{"exactly so much history", func(r *policy.Rule) { r.Match.HistoryMin, r.Match.HistoryMax = ptr(1), ptr(1) }, ""},
		{"less history than none", func(r *policy.Rule) { r.Match.HistoryMax = ptr(-1) }, "bad_range!"},
		{"an organization of lists", func(r *policy.Rule) { r.Match.ListID = pats("org:a.example") }, "wrong_org!"},
		{"an organization of lists, in a map", func(r *policy.Rule) {
			r.Match.ListID = []pattern.Domain{pattern.NewDomainMap("m", pats("org:a.example")).Pattern()}
		}, "wrong_org!"},
		{"an organization of authors, in a map", func(r *policy.Rule) {
			r.Match.Author = []pattern.Domain{pattern.NewDomainMap("m", pats("org:a.example")).Pattern()}
		}, ""},
		{"IPv4 in the form of IPv6", func(r *policy.Rule) { r.Match.Not.Client = nets("::ffff:192.0.2.0/120") }, "mapped_network!"},
		{"what is not named anchors nothing", match(policy.Match{RcptDomain: us, Not: policy.Exclude{Client: nets("192.0.2.0/24"), DKIMPass: pats("a.example")}}), "opens_anybody!"},
		{"all but the upper half of IPv4, and but IPv6", match(policy.Match{RcptDomain: us, Not: policy.Exclude{Client: nets("128.0.0.0/1", "2000::/3")}}), "opens_anybody!"},
		{"all but most of both", match(policy.Match{RcptDomain: us, Not: policy.Exclude{Client: nets("128.0.0.0/1", "64.0.0.0/2", "32.0.0.0/3", "0.0.0.0/4", "2000::/3")}}), "opens_anybody!"},
		{"a list that anybody can name", match(policy.Match{RcptDomain: us, ListID: pats("a.example"), IsList: ptr(true)}), "opens_anybody!"},
		{"a confirmed name", match(policy.Match{RcptDomain: us, IPRev: pats("mx.a.example")}), ""},
		{"a sealer", match(policy.Match{RcptDomain: us, ARCPass: pats("a.example")}), ""},
		{"a confirmed name below a suffix", match(policy.Match{RcptDomain: us, IPRev: pats(".co.uk")}), "opens_anybody!"},
		{"a map with a suffix", match(policy.Match{RcptDomain: us, SPFPass: []pattern.Domain{pattern.NewDomainMap("m", pats("a.example", ".co.uk")).Pattern()}}), "opens_anybody!"},
		{"a map with a wide network", match(policy.Match{RcptDomain: us, Client: []pattern.Network{netMap("192.0.2.1/32", "198.0.0.0/10").Pattern()}}), "opens_account!"},
		{"a map of narrow networks", match(policy.Match{RcptDomain: us, Client: []pattern.Network{netMap("192.0.2.1/32", "198.51.100.0/24").Pattern()}}), ""},
		{"a wide network beside a wide domain", match(policy.Match{RcptDomain: us, Client: nets("192.0.0.0/8"), DKIMPass: pats(".a.example")}), "opens_account!"},
		{"a wide network beside a sealer", match(policy.Match{RcptDomain: us, Client: nets("192.0.0.0/8"), ARCPass: pats("a.example")}), ""},
		{"6to4", match(policy.Match{RcptDomain: us, Client: nets("2002:c000:200::/48")}), "opens_anybody!"},
		{"Teredo, in a map", match(policy.Match{RcptDomain: us, Client: []pattern.Network{netMap("2001::/32").Pattern()}}), "opens_anybody!"},
		{"a translator beside DKIM", match(policy.Match{RcptDomain: us, Client: nets("64:ff9b::/96"), DKIMPass: pats("a.example")}), ""},
		{"a network a little too wide", match(policy.Match{RcptDomain: us, Client: nets("192.0.2.0/23")}), "opens_account!"},
		{"a network a little too wide, in IPv6", match(policy.Match{RcptDomain: us, Client: nets("2a00:1::/47")}), "opens_account!"},
		{"one wide network of two", match(policy.Match{RcptDomain: us, Client: nets("192.0.2.0/24", "192.0.0.0/20")}), "opens_account!"},
		{"every name of a domain", match(policy.Match{RcptDomain: us, DKIMPass: pats("b.example", ".a.example")}), "opens_account!"},
		{"every name, in a map", match(policy.Match{RcptDomain: us, DKIMPass: []pattern.Domain{pattern.NewDomainMap("m", pats(".a.example")).Pattern()}}), "opens_account!"},
		{"every name, of certain authors", match(policy.Match{Author: pats("b.example"), DKIMPass: pats(".a.example")}), ""},
		{"every name, of an organization", match(policy.Match{Author: pats("org:b.example"), DKIMPass: pats(".a.example")}), ""},
		{"every name, of every name", match(policy.Match{Author: pats(".b.example"), DKIMPass: pats(".a.example")}), "opens_account!"},
		{"every name, and one address", match(policy.Match{RcptDomain: us, DKIMPass: pats(".a.example"), Client: nets("192.0.2.1/32")}), ""},
		{"a mailbox provider", match(policy.Match{RcptDomain: us, DKIMPass: pats("a.example", "gmail.com")}), "opens_account!"},
		{"a mailbox provider's hosts", match(policy.Match{RcptDomain: us, IPRev: pats("mail-ed1-f42.google.com")}), "opens_account!"},
		{"a wildcard around a mailer", match(policy.Match{RcptDomain: us, IPRev: pats(".azure.com")}), "opens_account!"},
		{"a mailer, of certain authors", match(policy.Match{Author: pats("a.example"), SPFPass: pats("amazonses.com")}), "opens_account!"},
		{"a mailer, of every author in a domain", match(policy.Match{Author: pats(".a.example"), SPFPass: pats("amazonses.com")}), "opens_account!"},
		{"a mailer, from one address", match(policy.Match{RcptDomain: us, SPFPass: pats("amazonses.com"), Client: nets("192.0.2.1/32")}), ""},
		{"a mailer, in a map", match(policy.Match{RcptDomain: us, SPFPass: []pattern.Domain{pattern.NewDomainMap("m", pats("a.example", "sendgrid.net")).Pattern()}}), "opens_account!"},
		{"names below a mailer, in a map", match(policy.Match{RcptDomain: us, SPFPass: []pattern.Domain{pattern.NewDomainMap("m", pats(".sendgrid.net")).Pattern()}}), "opens_account!"},
		{"a tenant's signature", match(policy.Match{RcptDomain: us, DKIMPass: pats("a.onmicrosoft.com")}), ""},
		{"a tenant's SPF", match(policy.Match{RcptDomain: us, SPFPass: pats("a.onmicrosoft.com")}), "opens_account!"},
		{"all tenants' signatures", match(policy.Match{RcptDomain: us, DKIMPass: pats(".onmicrosoft.com")}), "opens_account!"},
		{"a company that seals", match(policy.Match{RcptDomain: us, DKIMPass: pats("microsoft.com")}), ""},
		{"a company that looks like a mailer", match(policy.Match{RcptDomain: us, DKIMPass: pats("notgmail.com")}), ""},
		{"seals of a provider, for our users", match(policy.Match{RcptDomain: us, ARCPass: pats("google.com")}), ""},
		{"seals of a provider, of certain authors", match(policy.Match{Author: pats("a.example"), ARCPass: pats("google.com")}), ""},
		{"seals of a provider", match(policy.Match{ARCPass: pats("a.example", "microsoft.com")}), "opens_customer"},
		{"seals of a mailer", match(policy.Match{RcptDomain: us, ARCPass: pats("sendgrid.net")}), "opens_account!"},
		{"a private network", func(r *policy.Rule) { r.Match.Client = nets("192.168.1.0/24") }, "opens_customer"},
		{"a private network beside DKIM", func(r *policy.Rule) { r.Match.Client, r.Match.DKIMPass = nets("192.168.0.0/16"), pats("a.example") }, ""},
		{"as many addresses as there may be", match(policy.Match{Author: pats("a.example"), Client: nets("20.0.0.0/16", "20.1.0.0/16", "20.2.0.0/16", "20.3.0.0/16")}), ""},
		{"the same twice", match(policy.Match{Author: pats("a.example"), Client: nets("20.0.0.0/16", "20.1.0.0/16", "20.2.0.0/16", "20.3.0.0/16", "20.3.4.0/24")}), ""},
		{"one address more", match(policy.Match{Author: pats("a.example"), Client: nets("20.0.0.0/16", "20.1.0.0/16", "20.2.0.0/16", "20.3.0.0/16", "192.0.2.1/32")}), "opens_customer"},
		{"a wide network in pieces", match(policy.Match{Author: pats("a.example"), Client: pieces("20.0.0.0/11", 16)}), "opens_account!"},
		{"a wide network in pieces, in a map", match(policy.Match{Author: pats("a.example"), Client: []pattern.Network{pattern.NewNetMap("m", prefixesOf(pieces("20.0.0.0/11", 24))).Pattern()}}), "opens_account!"},
		{"a wide network in pieces, beside DKIM", match(policy.Match{Author: pats("a.example"), DKIMPass: pats("a.example"), Client: pieces("20.0.0.0/11", 16)}), ""},
		{"many networks of IPv6", match(policy.Match{Author: pats("a.example"), Client: append(pieces("2a00::/30", 32), nets("2b00::/48")...)}), "opens_customer"},
		{"too many networks of IPv6", match(policy.Match{Author: pats("a.example"), Client: pieces("2a00::/27", 32)}), "opens_account!"},
		{"no reports at all", func(r *policy.Rule) {
			r.Action, r.Match = policy.RuleSkipReport, policy.Match{Result: []string{"fail"}, HistoryMin: ptr(0)}
		}, "hides_reports!"},
		{"no reports of a domain", func(r *policy.Rule) {
			r.Action, r.Match = policy.RuleSkipReport, policy.Match{Author: pats("a.example")}
		}, ""},
		{"no reports of a domain, for ever", func(r *policy.Rule) {
			r.Action, r.Match, r.Expires = policy.RuleSkipReport, policy.Match{Author: pats("a.example")}, time.Time{}
		}, "long_lived"},
		{"a listener that there is not", func(r *policy.Rule) { r.Match.Listener = []string{"inbond"} }, "unknown_listener!"},
		{"a listener that there is", func(r *policy.Rule) { r.Match.Listener = []string{"inbound"} }, ""},
		{"a network that is there and not there", func(r *policy.Rule) { r.Match.Not.Client = nets("192.0.2.0/23") }, "never_decides"},
		{"a part of a network that is not there", func(r *policy.Rule) { r.Match.Not.Client = nets("192.0.2.128/25") }, ""},
		{"a domain that is there and not there", func(r *policy.Rule) { r.Match.Not.RcptDomain = pats("us.example") }, "never_decides"},
		{"a policy of what does not fail", func(r *policy.Rule) { r.Match.Requested, r.Match.Result = []string{"none"}, []string{"none"} }, "never_decides"},
		{"a From field that is no fail", func(r *policy.Rule) { r.Match.FromField = []policy.From{policy.FromMissing} }, "never_decides"},
		{"a From field that is a permerror", func(r *policy.Rule) {
			r.Match.FromField, r.Match.Result = []policy.From{policy.FromMissing}, []string{"permerror"}
		}, ""},
		{"a From field without an author", func(r *policy.Rule) {
			r.Match.FromField, r.Match.Result, r.Match.Author = []policy.From{policy.FromMissing}, []string{"permerror"}, pats("a.example")
		}, "never_decides"},
		{"a domain of the null path", func(r *policy.Rule) { r.Match.NullPath, r.Match.MailFrom = ptr(true), pats("a.example") }, "never_decides"},
		{"a list without a list", func(r *policy.Rule) { r.Match.IsList, r.Match.ListID = ptr(false), pats("a.example") }, "never_decides"},
		{"two domains of MAIL FROM", func(r *policy.Rule) {
			r.Match.SPFPass, r.Match.MailFrom = pats("a.example"), pats("b.example", ".a.example")
		}, "never_decides"},
		{"a domain of SPF that only HELO may have", func(r *policy.Rule) {
			r.Match.SPFPass, r.Match.Not.MailFrom = pats("a.example"), pats("a.example")
		}, ""},
		{"a mailbox provider that only HELO may have", match(policy.Match{RcptDomain: us, SPFPass: pats("a.example", "gmail.com"), Not: policy.Exclude{MailFrom: pats("gmail.com")}}), "opens_account!"},
		{"one domain of MAIL FROM", func(r *policy.Rule) { r.Match.SPFPass, r.Match.MailFrom = pats(".a.example"), pats("b.a.example") }, ""},
		{"a record beside its author", func(r *policy.Rule) {
			r.Match.Author, r.Match.PolicyDomain = pats("a.example"), pats("b.a.example")
		}, "never_decides"},
		{"a record above its author", func(r *policy.Rule) {
			r.Match.Author, r.Match.PolicyDomain = pats("b.a.example"), pats("x.example", "a.example")
		}, ""},
		{"everybody for everybody", match(policy.Match{Client: nets("192.0.2.0/24")}), ""},
		{"our own domain", func(r *policy.Rule) { r.Match.Author = pats("a.example", "us.example") }, "own_domain"},
		{"our own organization", func(r *policy.Rule) { r.Match.Author = pats("org:us.example") }, "own_domain"},
		{"quarantine of whoever asks for it", func(r *policy.Rule) {
			r.Action, r.Match = policy.RuleQuarantine, policy.Match{Author: pats("a.example")}
		}, "opens_anybody!"},
		{"quarantine instead of less", func(r *policy.Rule) {
			r.Action, r.Match = policy.RuleQuarantine, policy.Match{Author: pats("a.example"), Requested: []string{"none", "quarantine"}}
		}, ""},
		{"quarantine where nothing is published", func(r *policy.Rule) {
			r.Action, r.Match = policy.RuleQuarantine, policy.Match{Author: pats("a.example"), Result: []string{"none"}}
		}, ""},
		{"quarantine because DNS failed", func(r *policy.Rule) { r.Action, r.Match.Result = policy.RuleQuarantine, []string{"temperror"} }, "temperror"},
		{"has expired", func(r *policy.Rule) { r.Expires = today }, "expired"},
		{"it ends soon", func(r *policy.Rule) { r.Expires = today.Add(SoonExpires) }, "expires_soon"},
		{"it does not end soon", func(r *policy.Rule) { r.Expires = today.Add(SoonExpires + 1) }, ""},
		{"a year and a day from now", func(r *policy.Rule) { r.Expires = today.AddDate(1, 0, 1) }, ""},
		{"a year and two days from now", func(r *policy.Rule) { r.Expires = today.AddDate(1, 0, 2) }, "long_lived"},
		{"a year from now, of an old rule", func(r *policy.Rule) { r.Created, r.Expires = today.AddDate(-5, 0, 0), today.AddDate(1, 0, 0) }, ""},
		{"two years from now, of a rule of tomorrow", func(r *policy.Rule) { r.Created, r.Expires = today.AddDate(0, 0, 1), today.AddDate(2, 0, 0) }, "long_lived"},
		{"written where tomorrow has begun", func(r *policy.Rule) { r.Created = today.AddDate(0, 0, 1) }, ""},
		{"written the day after tomorrow", func(r *policy.Rule) { r.Created = today.AddDate(0, 0, 2) }, "created_ahead!"},
		{"written the day after tomorrow, and off", func(r *policy.Rule) { r.Created, r.Mode = today.AddDate(0, 0, 2), policy.Off }, "created_ahead!"},
		{"a reject for ever", func(r *policy.Rule) { r.Action, r.Expires = policy.RuleReject, time.Time{} }, ""},
		{"for ever, with a comment", func(r *policy.Rule) { r.Expires, r.Comment = time.Time{}, "c" }, "long_lived"},
		{"never used", func(r *policy.Rule) { r.Idle = 24 * time.Hour }, "idle"},
		{"never used, but new", func(r *policy.Rule) { r.Idle = 30 * 24 * time.Hour }, ""},
		{"no longer used", func(r *policy.Rule) { r.ID, r.Idle = "used", 4*24*time.Hour }, "idle"},
		{"still used", func(r *policy.Rule) { r.ID, r.Idle = "used", 6*24*time.Hour }, ""},
		{"no test", func(r *policy.Rule) { r.Tests = nil }, "untested"},
		{"no test, in shadow", func(r *policy.Rule) { r.Tests, r.Mode = nil, policy.Shadow }, ""},
		{"a warning, but off", func(r *policy.Rule) { r.Tests, r.Expires, r.Mode = nil, today, policy.Off }, ""},
		{"wrong, though off", func(r *policy.Rule) { r.Match, r.Mode = policy.Match{RcptDomain: us}, policy.Off }, "opens_anybody!"},
	}
	o := Options{
		Now: today, ReportsOf: "rfc7489", Listeners: []string{"mta", "inbound"},
		LastMatch: map[string]time.Time{"used": today.AddDate(0, 0, -5)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := sound()
			tt.change(&r)
			want := tt.want
			if want != "" {
				want = r.ID + ":" + want
			}
			if got := lintOf(t, o, r); got != want {
				t.Errorf("Lint = %q; want %q", got, want)
			}
		})
	}
}

func netMap(list ...string) *pattern.NetMap { return pattern.NewNetMap("m", prefixesOf(nets(list...))) }

func prefixesOf(list []pattern.Network) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range list {
		p, _ := n.Prefix()
		out = append(out, p)
	}
	return out
}

// pieces cuts a network.
func pieces(network string, bits int) []pattern.Network {
	p := netip.MustParsePrefix(network)
	var out []pattern.Network
	for a := p.Addr(); p.Contains(a); {
		piece := netip.PrefixFrom(a, bits)
		out = append(out, pattern.NetworkOf(piece))
		b := a.AsSlice()
		for i := (bits - 1) / 8; ; i-- {
			step := byte(1)
			if i == (bits-1)/8 {
				step = 1 << (7 - (bits-1)%8)
			}
			if b[i] += step; b[i] >= step {
				break
			}
		}
		a, _ = netip.AddrFromSlice(b)
	}
	return out
}

func TestLintWithoutOptions(t *testing.T) {
	r := sound()
	r.Expires, r.Idle, r.Reason, r.Match.Listener = r.Created.AddDate(0, 0, 1), 1, "forwarded", []string{"x"}
	if got := lintOf(t, Options{}, r); got != "" {
		t.Errorf("Lint = %q; want nothing", got)
	}
	if got := lintOf(t, Options{ReportsOf: "rfc9990"}, r); got != "relay:report_reason" {
		t.Errorf("Lint for RFC 9990 = %q; want report_reason", got)
	}
}

func TestLintNamesUnknownListener(t *testing.T) {
	r := sound()
	for listener, want := range map[string]string{"inbond": `did you mean "inbound"?`, "x": `write "mta" or "inbound"`} {
		r.Match.Listener = []string{listener}
		found := Rules([]policy.Rule{r}, Options{Listeners: []string{"mta", "inbound"}})
		if len(found) != 1 || found[0].Fix != want {
			t.Errorf("Lint of listener %q = %+v; want %s", listener, found, want)
		}
	}
}

func TestLintReportsTooManyRules(t *testing.T) {
	found := Rules(make([]policy.Rule, policy.MaxRules+1), Options{})
	if !slices.ContainsFunc(found, func(f policy.Finding) bool { return f.Code == policy.CodeTooMany }) {
		t.Errorf("Lint of %d rules does not say that they are too many", policy.MaxRules+1)
	}
}
