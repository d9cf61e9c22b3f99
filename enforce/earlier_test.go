package enforce

import (
	"strings"
	"testing"

	"dmarcgate/message"
	"dmarcgate/policy"
)

func earlierHeader(t *testing.T, fields ...string) message.Header {
	t.Helper()
	var h message.Header
	for _, f := range fields {
		name, _, _ := strings.Cut(f, ":")
		h = append(h, message.Field{Name: name, Raw: []byte(f + "\r\n")})
	}
	return h
}

func TestEarlierSPFFailReadsWhatEarlierHostsWrote(t *testing.T) {
	authors := []policy.Author{{Domain: "news.bank.example", Org: "bank.example"}}
	tests := []struct {
		name   string
		fields []string
		want   bool
	}{
		{"Received-SPF", []string{`Received-SPF: fail (mx.example: domain of a@bank.example does not designate 192.0.2.1) client-ip=192.0.2.1; envelope-from="a@bank.example"; helo=x.example;`}, true},
		{"Received-SPF with angle brackets", []string{`Received-SPF: Fail (x) envelope-from=<a@mail.bank.example>; client-ip=192.0.2.1`}, true},
		{"Received-SPF of HELO", []string{`Received-SPF: fail (x) identity=helo; helo=mx.bank.example; envelope-from=a@else.example`}, true},
		{"Received-SPF, folded", []string{"Received-SPF: fail\r\n (x (y) z)\r\n envelope-from=a@bank.example"}, true},
		{"Received-SPF that passes", []string{`Received-SPF: pass (fail) envelope-from=a@bank.example`}, false},
		{"Received-SPF softfail", []string{`Received-SPF: softfail envelope-from=a@bank.example`}, false},
		{"Received-SPF of another organization", []string{`Received-SPF: fail envelope-from=a@bank.example.net`}, false},
		{"Received-SPF with the domain in a comment alone", []string{`Received-SPF: fail (envelope-from=a@bank.example)`}, false},
		{"Received-SPF beyond the limit", []string{"Received-SPF: fail (" + strings.Repeat("x", maxReceivedSPF) + ") envelope-from=a@bank.example"}, false},
		{"Authentication-Results", []string{`Authentication-Results: mx.example; dkim=none; spf=fail smtp.mailfrom=a@bank.example`}, true},
		{"Authentication-Results with a domain", []string{`Authentication-Results: mx.example; spf=fail (x) smtp.mailfrom=news.bank.example`}, true},
		{"Authentication-Results of HELO", []string{`Authentication-Results: mx.example; spf=fail smtp.helo=mx.bank.example`}, true},
		{"Authentication-Results that pass", []string{`Authentication-Results: mx.example; spf=pass smtp.mailfrom=bank.example; dkim=fail header.d=bank.example`}, false},
		{"Authentication-Results of another organization", []string{`Authentication-Results: mx.example; spf=fail smtp.mailfrom=notbank.example`}, false},
		{"Authentication-Results that cannot be read", []string{"Authentication-Results: ;;;"}, false},
		{"an ARC set", []string{`ARC-Authentication-Results: i=1; mx.example; spf=fail smtp.mailfrom=bank.example`}, true},
		{"an ARC set that passes", []string{`ARC-Authentication-Results: i=1; mx.example; spf=pass smtp.mailfrom=bank.example`}, false},
		{"the second of two", []string{`Received-SPF: pass envelope-from=a@esp.example`, `Received-SPF: fail envelope-from=a@bank.example`}, true},
		{"a field of another name", []string{`X-Received-SPF: fail envelope-from=a@bank.example`}, false},
		{"nothing", nil, false},
	}
	for _, tt := range tests {
		if got := earlierSPFFail(earlierHeader(t, tt.fields...), authors); got != tt.want {
			t.Errorf("%s: earlierSPFFail() = %v; want %v", tt.name, got, tt.want)
		}
	}
	many := make([]string, maxEarlier+1)
	for i := range many {
		many[i] = "Received-SPF: pass"
	}
	many[maxEarlier] = "Received-SPF: fail envelope-from=a@bank.example"
	if earlierSPFFail(earlierHeader(t, many...), authors) {
		t.Error("earlierSPFFail() read more fields than maxEarlier")
	}
	if earlierSPFFail(earlierHeader(t, `Received-SPF: fail envelope-from=a@example`), []policy.Author{{Domain: "bank.example"}}) {
		t.Error("earlierSPFFail() = true for a domain above that of an author without organization")
	}
}

func FuzzEarlierSPFFail(f *testing.F) {
	f.Add("Received-SPF", `fail (x) envelope-from="a@bank.example"`)
	f.Add("Authentication-Results", "mx; spf=fail smtp.mailfrom=bank.example")
	f.Add("ARC-Authentication-Results", "i=1; mx; spf=fail smtp.mailfrom=bank.example")
	f.Fuzz(func(t *testing.T, name, body string) {
		h := message.Header{{Name: name, Raw: []byte(name + ": " + body)}}
		authors := []policy.Author{{Domain: "bank.example", Org: "bank.example"}}
		if earlierSPFFail(h, authors) && !strings.Contains(strings.ToLower(body), "fail") {
			t.Errorf("earlierSPFFail(%s: %q) = true; want a fail in it", name, body)
		}
	})
}
