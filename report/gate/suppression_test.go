package gate

import (
	"slices"
	"strings"
	"testing"
)

func TestParseKeyReadsThreeKinds(t *testing.T) {
	tests := []struct{ in, want string }{
		{"addr:Rua@Bank.example", "addr:rua@bank.example"},
		{`addr:"rua"@bank.example`, "addr:rua@bank.example"},
		{`addr:"a b"@bank.example`, ""},
		{"host:Mail.BANK.example", "host:mail.bank.example"},
		{"domain:b\u00fccher.example", "domain:xn--bcher-kva.example"},
		{"bank.example", ""},
		{"rua@bank.example", ""},
		{"addr:bank.example", ""},
		{"addr:a%b@bank.example", ""},
		{"host:rua@bank.example", ""},
		{"domain:", ""},
		{"Host:bank.example", ""},
		{"mx:bank.example", ""},
		{"", ""},
	}
	for _, tt := range tests {
		k, err := ParseKey(tt.in)
		got := ""
		if err == nil {
			got = k.String()
		}
		if got != tt.want {
			t.Errorf("ParseKey(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
		if again, err := ParseKey(got); got != "" && (err != nil || again != k) {
			t.Errorf("ParseKey(%q) = %v, %v; want %v again", got, again, err, k)
		}
	}
}

func TestKeysNameAddressHostsAndDomains(t *testing.T) {
	d := Destination{Key: "rua@a.reports.example", Host: "a.reports.example"}
	var got []string
	for _, k := range d.Keys("mail.bank.example") {
		got = append(got, k.String())
	}
	want := []string{"addr:rua@a.reports.example", "host:a.reports.example", "host:reports.example", "host:example", "domain:mail.bank.example", "domain:bank.example", "domain:example"}
	if !slices.Equal(got, want) {
		t.Errorf("Keys = %q; want %q", got, want)
	}
	if got := len(Report{PolicyDomain: strings.Repeat("a.", 126) + "a"}.Keys()); got != 127 {
		t.Errorf("the longest name has %d keys; want one for each of its 127 labels", got)
	}
}
