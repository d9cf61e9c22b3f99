package report

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// row is a message of bank.example with a verdict and a decision.
func row(v dmarc.Verdict, d policy.Decision) *results.Row {
	d.Author = "bank.example"
	return &results.Row{Decision: d, Facts: policy.Facts{
		Client: netip.MustParseAddr("192.0.2.1"), MailFrom: "bank.example", Version: policy.FactsVersion, SPF: policy.SPF{Result: "fail", Domain: "bank.example"},
		Authors: []policy.Author{{Domain: "bank.example", Org: "bank.example", PolicyDomain: "bank.example", Verdict: v}},
	}}
}

var (
	fails  = dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100}
	passes = dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true}
	open   = dmarc.Verdict{Status: dmarc.TempError, Policy: dmarc.Reject, Pct: 100}
)

func with(v dmarc.Verdict, change func(*dmarc.Verdict)) dmarc.Verdict {
	change(&v)
	return v
}

func applied(p dmarc.Policy, r policy.Reason) []policy.Policy {
	return []policy.Policy{{Applied: p, Reason: r}}
}

func TestRecordSaysWhatWasDoneAndWhy(t *testing.T) {
	tests := []struct {
		name    string
		verdict dmarc.Verdict
		d       policy.Decision
		want    string // disposition; type (comment)…
	}{
		{"pass under p=reject", passes, policy.Decision{}, "pass"},
		{"pass under p=none", with(passes, func(v *dmarc.Verdict) { v.Policy = dmarc.None }), policy.Decision{}, "none"},
		{"pass under p=reject with t=y", with(passes, func(v *dmarc.Verdict) { v.Testing = true }), policy.Decision{}, "pass"},
		{"pass, refused by a rule", passes, policy.Decision{Disposition: policy.Rejected, Reason: policy.LocalPolicy, Rule: "r"}, "reject; local_policy"},
		{"pass, refused without a reason in the row", passes, policy.Decision{Disposition: policy.Rejected}, "reject; local_policy"},
		{"fail, refused", fails, policy.Decision{Disposition: policy.Rejected, Effective: applied(dmarc.Reject, "")}, "reject"},
		{"fail under p=none", with(fails, func(v *dmarc.Verdict) { v.Policy = dmarc.None }), policy.Decision{Effective: applied(dmarc.None, "")}, "none"},
		{"fail, profile monitor", fails, policy.Decision{Effective: applied(dmarc.Reject, "")}, "none; local_policy (policy not enforced)"},
		{"fail, t=y", with(fails, func(v *dmarc.Verdict) { v.Policy, v.Testing = dmarc.Quarantine, true }), policy.Decision{Reason: policy.PolicyTestMode, Effective: applied(dmarc.None, policy.PolicyTestMode)}, "none; policy_test_mode (t=y)"},
		{"fail, t=y, the rest enforced", with(fails, func(v *dmarc.Verdict) { v.Testing = true }), policy.Decision{Disposition: policy.Quarantined, Reason: policy.PolicyTestMode, Effective: applied(dmarc.Quarantine, policy.PolicyTestMode)}, "quarantine; policy_test_mode (t=y)"},
		{"fail, pct, the rest not enforced", with(fails, func(v *dmarc.Verdict) { v.Pct = 25 }), policy.Decision{Reason: policy.SampledOut, Effective: applied(dmarc.Quarantine, policy.SampledOut)}, "none; sampled_out (pct=25); local_policy (policy not enforced)"},
		{"conformant without evidence", fails, policy.Decision{Disposition: policy.Quarantined, Reason: policy.LocalPolicy, Evidence: policy.NoEvidence, Effective: applied(dmarc.Reject, "")}, "quarantine; local_policy (p=reject alone does not reject (RFC 9989, Section 7.4))"},
		{"conformant, body changed", fails, policy.Decision{Disposition: policy.Quarantined, Reason: policy.LocalPolicy, Evidence: policy.BodyChanged, Effective: applied(dmarc.Reject, "")}, "quarantine; local_policy (evidence: body_changed)"},
		{"conformant, known forwarder", fails, policy.Decision{Disposition: policy.Quarantined, Reason: policy.TrustedForwarder, Evidence: policy.Forwarder, Effective: applied(dmarc.Reject, "")}, "quarantine; trusted_forwarder (evidence: forwarder)"},
		{"accepted by a rule with a comment", fails, policy.Decision{Rule: "r", Reason: policy.MailingList, ReportComment: "our list", Evidence: policy.NoEvidence, Effective: applied(dmarc.Reject, "")}, "none; mailing_list (our list)"},
		{"accepted by a rule without a comment", fails, policy.Decision{Rule: "r", Reason: "forwarded", Evidence: policy.NoEvidence, Effective: applied(dmarc.Reject, "")}, "none; forwarded"},
		{"quarantine is refused here", with(fails, func(v *dmarc.Verdict) { v.Policy = dmarc.Quarantine }), policy.Decision{Disposition: policy.Rejected, Reason: policy.LocalPolicy, Effective: applied(dmarc.Quarantine, "")}, "reject; local_policy"},
		{"temperror, delivered", open, policy.Decision{Effective: applied(dmarc.Reject, "")}, "none; other (temperror)"},
		{"temperror for long, quarantined", open, policy.Decision{Disposition: policy.Quarantined, Reason: policy.LocalPolicy, Effective: applied(dmarc.Reject, "")}, "quarantine; local_policy (temperror)"},
		{"a row without effective policies", fails, policy.Decision{}, "none; local_policy (policy not enforced)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m maker
			if !m.make(row(tt.verdict, tt.d), 0) {
				t.Fatal("make = false")
			}
			if got := said(&m.record); got != tt.want {
				t.Errorf("the record says %q; want %q", got, tt.want)
			}
		})
	}
}

func said(r *Record) string {
	parts := []string{string(r.Disposition)}
	for _, reason := range r.Reasons {
		text := reason.Type
		if reason.Comment != "" {
			text += " (" + reason.Comment + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// One message has one answer, and is counted under the policy of each author domain.
func TestRecordOfSeveralAuthorsSaysSo(t *testing.T) {
	r := row(fails, policy.Decision{Disposition: policy.Rejected, Effective: []policy.Policy{{Applied: dmarc.Reject}, {}}})
	r.Facts.Authors = append(r.Facts.Authors, policy.Author{Domain: "shop.example", Org: "shop.example", PolicyDomain: "shop.example", Verdict: passes})
	want := []string{"reject; other (several From domains)", "reject; other (several From domains)"}
	for i := range want {
		var m maker
		if !m.make(r, i) || said(&m.record) != want[i] || m.record.HeaderFrom != r.Facts.Authors[i].Domain {
			t.Errorf("author %d: %s says %q; want %q", i, m.record.HeaderFrom, said(&m.record), want[i])
		}
	}
	r.Decision.Disposition = policy.Delivered
	var m maker
	if !m.make(r, 0) || said(&m.record) != "none; local_policy (policy not enforced); other (several From domains)" {
		t.Errorf("delivered, the record says %q", said(&m.record))
	}
}

// RFC 8617, Section 7.2.2; text of the chain comes from whoever wrote the header.
func TestRecordNamesTheChainThatDecided(t *testing.T) {
	r := row(fails, policy.Decision{Disposition: policy.Quarantined, Reason: policy.LocalPolicy, Evidence: policy.ARCSealer, Effective: applied(dmarc.Reject, "")})
	r.Facts.ARC = policy.ARC{Result: "pass", Sealers: []policy.Sealer{{Domain: "one.example", Selector: "a"}, {Domain: "<two>.example", Selector: "b"}, {Domain: "three.example", Selector: "c"}}}
	var m maker
	want := "quarantine; local_policy (arc=pass as[3].d=three.example as[3].s=c as[1].d=one.example as[1].s=a)"
	if !m.make(r, 0) || said(&m.record) != want {
		t.Errorf("the record says %q; want %q", said(&m.record), want)
	}
	r.Facts.ARC.Sealers = slices.Repeat([]policy.Sealer{{Domain: strings.Repeat("a.", 60) + "example", Selector: "b"}}, 50)
	if m.make(r, 0); len(m.record.Reasons[0].Comment) > MaxText {
		t.Errorf("the comment has %d bytes; want at most %d", len(m.record.Reasons[0].Comment), MaxText)
	}
}

// RFC 9990, Section 3.1.3: at most 100, aligned passes first.
func TestRecordNamesTheMostTellingSignatures(t *testing.T) {
	r := row(passes, policy.Decision{})
	r.Facts.Authors[0].Domain = "mail.bank.example"
	add := func(result, domain, selector string, testing bool) {
		r.Facts.DKIM = append(r.Facts.DKIM, policy.DKIM{Result: result, Domain: domain, Selector: selector, Testing: testing, Why: "body hash did not verify; stale DNS answer"})
	}
	for i := range 120 {
		add("fail", "a.example", fmt.Sprint("f", i), false)
	}
	add("pass", "esp.example", "s", false)
	add("pass", "bank.example", "t", true)
	add("pass", "bank.example", "s", false)
	add("pass", "mail.bank.example", "s", false)
	r.Facts.DKIM = append(r.Facts.DKIM, []policy.DKIM{{Result: "pass", Domain: "bank.example"}, {Result: "pass", Selector: "s"}, {Result: "odd", Domain: "a.example", Selector: "s"}, {Result: "pass", Domain: "a b", Selector: "s"}, {Result: "pass", Domain: "a.example", Selector: "<s>"}}...)
	var m maker
	if !m.make(r, 0) {
		t.Fatal("make = false")
	}
	got := m.record.Signatures
	want := []Signature{{"mail.bank.example", "s", "pass", ""}, {"bank.example", "s", "pass", ""}, {"esp.example", "s", "pass", ""}, {"bank.example", "t", "pass", testKey}, {"a.example", "f0", "fail", "body hash did not verify"}}
	if len(got) != MaxSignatures || !reflect.DeepEqual(got[:len(want)], want) {
		t.Errorf("%d signatures, the first are %v; want %d and %v", len(got), got[:len(want)], MaxSignatures, want)
	}
	if want := 120 + 4 - MaxSignatures + 5; m.dropped != want {
		t.Errorf("%d signatures are dropped; want %d", m.dropped, want)
	}
}

// A report never names an address that is not the client's.
func TestRecordNeedsTheAddressOfTheClient(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*policy.Facts)
		want   string
	}{
		{"IPv4", func(*policy.Facts) {}, "192.0.2.1"},
		{"IPv4 in IPv6", func(f *policy.Facts) { f.Client = netip.MustParseAddr("::ffff:192.0.2.9") }, "192.0.2.9"},
		{"IPv6 with a zone", func(f *policy.Facts) { f.Client = netip.MustParseAddr("fe80::1%eth0") }, "fe80::1"},
		{"shortened", func(f *policy.Facts) {
			f.Client, f.Missing = netip.MustParseAddr("192.0.2.0"), policy.MissingClient
		}, ""},
		{"none", func(f *policy.Facts) { f.Client = netip.Addr{} }, ""},
		{"that of our own relay", func(f *policy.Facts) { f.UnknownClient = policy.ClientUnreadable }, ""},
		{"author that is no domain", func(f *policy.Facts) { f.Authors[0].Domain = "<x>.example" }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := row(passes, policy.Decision{})
			tt.change(&r.Facts)
			var m maker
			if ok := m.make(r, 0); ok != (tt.want != "") || ok && m.record.Source.String() != tt.want {
				t.Errorf("make = %v with %v; want %q", ok, m.record.Source, tt.want)
			}
		})
	}
}

func TestRecordNamesEnvelopeAndSPF(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*policy.Facts)
		want   Record
	}{
		{"usual", func(*policy.Facts) {}, Record{EnvelopeFrom: "bank.example", Checked: SPF{Domain: "bank.example", Result: "fail"}}},
		{"null path", func(f *policy.Facts) {
			f.NullPath, f.MailFrom, f.SPF = true, "", policy.SPF{Result: "temperror", Domain: "mx.example"}
		}, Record{NullPath: true, Checked: SPF{Domain: "mx.example", Result: "temperror"}}},
		{"address literal", func(f *policy.Facts) {
			f.MailFrom, f.SPF = "[192.0.2.1]", policy.SPF{Result: "none", Domain: "[192.0.2.1]"}
		}, Record{}},
		{"permerror is explained", func(f *policy.Facts) {
			f.SPF = policy.SPF{Result: "permerror", Domain: "a.example", Why: "syntax error", Term: "ip4:\x00"}
		}, Record{EnvelopeFrom: "bank.example", Checked: SPF{Domain: "a.example", Result: "permerror", Human: "syntax error ip4:?"}}},
		{"one recipient", func(f *policy.Facts) { f.Recipients = []string{"r.example"} }, Record{EnvelopeFrom: "bank.example", EnvelopeTo: "r.example", Checked: SPF{Domain: "bank.example", Result: "fail"}}},
		{"two recipients", func(f *policy.Facts) { f.Recipients = []string{"r.example", "s.example"} }, Record{EnvelopeFrom: "bank.example", Checked: SPF{Domain: "bank.example", Result: "fail"}}},
		{"recipients that are no longer known", func(f *policy.Facts) { f.Recipients, f.Missing = []string{"r.example"}, policy.MissingRecipients }, Record{EnvelopeFrom: "bank.example", Checked: SPF{Domain: "bank.example", Result: "fail"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := row(passes, policy.Decision{})
			tt.change(&r.Facts)
			m := maker{envelopeTo: true}
			if !m.make(r, 0) {
				t.Fatal("make = false")
			}
			if got := (Record{EnvelopeFrom: m.record.EnvelopeFrom, NullPath: m.record.NullPath, EnvelopeTo: m.record.EnvelopeTo, Checked: m.record.Checked}); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("the record has %+v; want %+v", got, tt.want)
			}
			if off := (maker{}); !off.make(r, 0) || off.record.EnvelopeTo != "" {
				t.Errorf("without the setting, envelope_to is %q; want none", off.record.EnvelopeTo)
			}
		})
	}
}

func TestUsableNameIsThatOfTheDNS(t *testing.T) {
	label := strings.Repeat("a", 63)
	for name, want := range map[string]bool{
		"a": true, "a.example": true, "_dmarc.xn--bcher-kva.example": true, label + ".example": true, label + "a.example": false, "": false, ".a": false, "a.": false, "a..b": false,
		"A.example": false, "bücher.example": false, "a b": false, "a\x00b": false, strings.Repeat("a.", 126) + "a": true, strings.Repeat("a.", 126) + "aa": false,
	} {
		if got := usableName(name); got != want {
			t.Errorf("usableName(%q) = %v; want %v", name, got, want)
		}
	}
}
