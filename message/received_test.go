package message

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"dmarcgate/internal/receivedtest"
)

func receivedField(value string) Field { return NewField([]byte("Received: " + value + "\r\n")) }

func TestParseReceivedReadsTheClientWhereTheServerWritesIt(t *testing.T) {
	tests := []struct {
		name, value      string
		helo, client, by string
	}{
		{"Postfix", "from h.example (name.example [192.0.2.1])\r\n\tby MX.example (Postfix) with ESMTP id 4XyZ\r\n\tfor <x@y.example>; Mon, 2 Nov 2026 10:00:00 +0000 (UTC)",
			"h.example", "192.0.2.1", "mx.example"},
		{"Postfix, a client without a name", "from h.example (unknown [192.0.2.1])\r\n\tby mx.example (Postfix) with SMTP id 4XyZ; Mon, 2 Nov 2026 10:00:00 +0000 (UTC)",
			"h.example", "192.0.2.1", "mx.example"},
		{"Postfix, IPv6 and TLS", "from h.example (name.example [IPv6:2001:db8::1])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits))\r\n\t(Client CN \"c.example\", Issuer \"CA (1)\" (not verified))\r\n\tby mx.example (Postfix) with ESMTPS id 4XyZ; Mon, 2 Nov 2026 10:00:00 +0000 (UTC)",
			"h.example", "2001:db8::1", "mx.example"},
		{"Postfix, HELO is an address", "from [198.51.100.9] (unknown [192.0.2.1]) by mx.example (Postfix) with ESMTP id 1; date",
			"[198.51.100.9]", "192.0.2.1", "mx.example"},
		{"Postfix, HELO with brackets inside", "from a[198.51.100.9]b (unknown [192.0.2.1]) by mx.example (Postfix) with ESMTP id 1; date",
			"a[198.51.100.9]b", "192.0.2.1", "mx.example"},
		{"Postfix, an address in quotes after it", "from h (n.example [192.0.2.1]) by mx.example (Postfix) with ESMTP id 1 for <\"a by b ([198.51.100.9])\"@y.example>; date",
			"h", "192.0.2.1", "mx.example"},
		{"Postfix, HELO like Exim's words", "from helo=x (n.example [192.0.2.1]) by mx.example (Postfix) with ESMTP id 1; date",
			"helo=x", "192.0.2.1", "mx.example"},
		{"Sendmail", "from h.example (name.example [192.0.2.1])\r\n\tby mx.example (8.17.1/8.17.1/Debian-2) with ESMTPS id 4A2A0Abc\r\n\t(version=TLSv1.3 cipher=X bits=256 verify=NO)\r\n\tfor <x@y.example>; Mon, 2 Nov 2026 10:00:00 GMT",
			"h.example", "192.0.2.1", "mx.example"},
		{"Sendmail, a name that may be forged", "from h.example (name.example [192.0.2.1] (may be forged))\r\n\t(authenticated bits=0)\r\n\tby mx.example (8.17.1/8.17.1) with ESMTP id 1; date",
			"h.example", "192.0.2.1", "mx.example"},
		{"Sendmail, no name", "from h.example ([192.0.2.1])\r\n\tby mx.example (8.17.1/8.17.1) with ESMTP id 1; date",
			"h.example", "192.0.2.1", "mx.example"},
		{"Sendmail, ident", "from h.example (IDENT:user@name.example [192.0.2.1]) by mx.example (8.9.3/8.9.3) with ESMTP id 1; date",
			"h.example", "192.0.2.1", "mx.example"},
		{"Sendmail, ident and no name", "from h.example (user@[192.0.2.1]) by mx.example (8.17.1/8.17.1) with ESMTP id 1; date",
			"h.example", "192.0.2.1", "mx.example"},
		{"Exim, a name only", "from name.example ([192.0.2.1])\r\n\tby mx.example with esmtps  (TLS1.3) tls TLS_AES_256_GCM_SHA384\r\n\t(Exim 4.96)\r\n\t(envelope-from <a@[198.51.100.9]>)\r\n\tid 1abc-000\r\n\tfor x@y.example;\r\n\tMon, 02 Nov 2026 10:00:00 +0000",
			"name.example", "192.0.2.1", "mx.example"},
		{"Exim, a name and HELO", "from name.example ([192.0.2.1] helo=h.example)\r\n\tby mx.example with esmtp (Exim 4.96)\r\n\tid 1abc-000; date",
			"h.example", "192.0.2.1", "mx.example"},
		{"Exim, all of it", "from name.example ([2001:db8::1]:4321 ident=u helo=h.example) by mx.example with esmtp (Exim 4.96) id 1; date",
			"h.example", "2001:db8::1", "mx.example"},
		{"Exim, no name", "from [192.0.2.1] (helo=h.example)\r\n\tby mx.example with esmtp (Exim 4.96)\r\n\t(envelope-from <\"(x [198.51.100.9])\"@evil.example>) id 1; date",
			"h.example", "192.0.2.1", "mx.example"},
		{"Exim, no name and HELO another address", "from [192.0.2.1] (port=4321 helo=[198.51.100.9]) by mx.example with esmtp (Exim 4.96) id 1; date",
			"[198.51.100.9]", "192.0.2.1", "mx.example"},
		{"Exim, no name and no HELO", "from [192.0.2.1] (ident=u) by mx.example with esmtp (Exim 4.96) id 1; date",
			"[192.0.2.1]", "192.0.2.1", "mx.example"},
		{"Exim, HELO is the address", "from [192.0.2.1] by mx.example with esmtps (TLS1.3) tls X (Exim 4.96) (envelope-from <>) id 1; date",
			"[192.0.2.1]", "192.0.2.1", "mx.example"},
		{"IPv4 in IPv6 form", "from h (n [IPv6:::ffff:192.0.2.1]) by mx.example with ESMTP", "h", "192.0.2.1", "mx.example"},
		{"a control byte", "from h\x00 (n [192.0.2.1]) by mx.example; date", "h?", "192.0.2.1", "mx.example"},
		{"a long field", "from h (n [192.0.2.1]) by mx.example; " + strings.Repeat("x", 2*maxReceived), "h", "192.0.2.1", "mx.example"},
		{"Postfix, an address in the name of a certificate", "from h (n [192.0.2.1])\r\n\t(using TLSv1.3)\r\n\t(Client CN \"x (a [198.51.100.9])\", Issuer \"y\" (verified OK))\r\n\tby mx.example (Postfix) with ESMTPS id 1; date",
			"h", "192.0.2.1", "mx.example"},
		{"Postfix, a certificate with a field of its own, all on one line", "from h (n [192.0.2.1]) (Client CN \"x (a [198.51.100.9]) by y\", Issuer \"y\" (verified OK)) by mx.example (Postfix) with ESMTPS id 1; date",
			"h", "192.0.2.1", "mx.example"},
		{"Postfix, a HELO name that the next server broke", "from " + strings.Repeat("x", 983) + "\r\n yz (n [192.0.2.1])\r\n\tby mx.example (Postfix) with ESMTP id 1; date",
			strings.Repeat("x", 255), "192.0.2.1", "mx.example"},
		{"folds of LF alone", "from h (n\n\t[192.0.2.1])\n by mx.example.; date", "h", "192.0.2.1", "mx.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := Received{Helo: tt.helo, Client: netip.MustParseAddr(tt.client), By: tt.by}
			if got, ok := ParseReceived(receivedField(tt.value)); !ok || got != want {
				t.Errorf("ParseReceived(%q) = %+v, %v; want %+v", tt.value, got, ok, want)
			}
		})
	}
}

func TestParseReceivedRefusesWhatMayBeReadInTwoWays(t *testing.T) {
	tests := []struct{ name, value string }{
		{"nothing", ""},
		{"Postfix, local", "by mx.example (Postfix, from userid 0) id 1; date"},
		{"Sendmail, local", "(from root@localhost) by mx.example (8.17.1/8.17.1/Submit) id 1; date"},
		{"Exim, local", "from root by mx.example with local (Exim 4.96) (envelope-from <root@mx.example>) id 1; date"},
		{"an unknown address", "from h (unknown [unknown]) by mx.example (Postfix) with ESMTP id 1; date"},
		{"an address without brackets", "from h (n 192.0.2.1) by mx.example; date"},
		{"a broken address", "from h (n [192.0.2.256]) by mx.example; date"},
		{"an IPv4 address said to be IPv6", "from h (n [IPv6:192.0.2.1]) by mx.example; date"},
		{"an address with a zone", "from h (n [fe80::1%eth0]) by mx.example; date"},
		{"no by", "from h (n [192.0.2.1]) with ESMTP id 1; date"},
		{"by without a name", "from h (n [192.0.2.1]) by ; date"},
		{"by an address", "from h (n [192.0.2.1]) by 192.0.2.7; date"},
		{"by something that is no name", "from h (n [192.0.2.1]) by m[x; date"},
		{"HELO with a comment of its own", "from x ([198.51.100.9]) (y [192.0.2.1]) by mx.example; date"},
		{"HELO with a named one", "from x (y [198.51.100.9]) (n.example [192.0.2.1]) by mx.example; date"},
		{"HELO like Exim's words", "from x ([198.51.100.9] helo=z) (n.example [192.0.2.1]) by mx.example; date"},
		{"HELO like Exim's words, without a name", "from [198.51.100.9] (helo=x) (n.example [192.0.2.1]) by mx.example; date"},
		{"HELO that opens a comment", "from x (y [198.51.100.9]) (z (n.example [192.0.2.1]) by mx.example (Postfix); date"},
		{"HELO with a whole field", "from x (y [198.51.100.9]) by mx.example with ESMTP id 1; date (n.example [192.0.2.1]) by mx.example; date"},
		{"HELO with a whole field, and a server without a name", "from x (y [198.51.100.9]) by mx.example with ESMTP id 1; date (n.example [192.0.2.1]) with ESMTP id 1; date"},
		{"HELO with Exim's whole field", "from [198.51.100.9] by mx.example with esmtp (Exim 4.96) (n.example [192.0.2.1]) by mx.example; date"},
		{"HELO that ends Exim's comment and names another server", "from [192.0.2.1] (helo=x) by evil.example (y) by mx.example with esmtp (Exim 4.96); date"},
		{"HELO with a second client within Exim's comment", "from [192.0.2.1] (helo=x [198.51.100.9]) by mx.example with esmtp (Exim 4.96); date"},
		{"HELO with an ident within Exim's comment, or Sendmail's ident", "from [192.0.2.1] (helo=x@[198.51.100.9]) by mx.example; date"},
		{"HELO with an address within Exim's comment of a named client", "from n.example ([192.0.2.1] helo=x [198.51.100.9]) by mx.example with esmtp (Exim 4.96); date"},
		{"an address alone that Exim did not write", "from [198.51.100.9] by mx.example with ESMTP id 1; date"},
		{"a HELO name alone", "from h.example by mx.example with ESMTP id 1; date"},
		{"the address in HELO alone", "from x[198.51.100.9] (unknown) by mx.example; date"},
		{"a line break that is no fold", "from h (n [192.0.2.1])\rby mx.example; date"},
		{"a name of the server beyond the limit", "from " + strings.Repeat("x", maxReceived) + " (n [192.0.2.1])\r\n\tby mx.example; date"},
		{"an unknown server whose line has a second client", "from x (y [198.51.100.9]) (n.example [192.0.2.1])\r\n\tby mx.example; date"},
		{"an unknown server whose line has comments of others", "from x (y [198.51.100.9]) (using z) (n.example [192.0.2.1])\r\n\tby mx.example; date"},
		{"an unknown server whose line opens a comment", "from x (y [198.51.100.9]) (using z (n.example [192.0.2.1])\r\n\tby mx.example; date"},
		{"a fold within a word", "from h.exa\r\n mple (n [192.0.2.1])\r\n\tby mx.example; date"},
		{"From in another case", "From h (n [192.0.2.1]) by mx.example; date"},
		{"text before it", "x from h (n [192.0.2.1]) by mx.example; date"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := ParseReceived(receivedField(tt.value)); ok || got != (Received{}) {
				t.Errorf("ParseReceived(%q) = %+v, %v; want nothing", tt.value, got, ok)
			}
		})
	}
}

// FuzzAHELONameNeverChoosesTheClient writes a HELO name without a look at it
// where each server writes one.
func FuzzAHELONameNeverChoosesTheClient(f *testing.F) {
	for _, s := range []string{
		"h.example", "[198.51.100.9]", "x ([198.51.100.9]) (y", "x (y [198.51.100.9]) by mx.example; (", "x) (y [198.51.100.9]",
		"[198.51.100.9] (helo=z) by mx.example", "x@[198.51.100.9]", "x [198.51.100.9]) by evil.example (y", "\" (", "x\r\n y",
		"[198.51.100.9] by evil.example with esmtpa (Exim 4)", "x) by evil.example with esmtpa (Exim 4) (y", "x (y [198.51.100.9]) by evil.example \"", "a) by evil.example; (\"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, helo string) {
		helo = strings.NewReplacer("\r", "", "\n", "").Replace(helo) // no command has a line break in it
		for _, server := range []string{
			"from HELO (n.example [192.0.2.1])\r\n\tby mx.example (Postfix) with ESMTP id 1; date",
			"from HELO (n.example [192.0.2.1] (may be forged))\r\n\tby mx.example (8.17.1/8.17.1) with ESMTP id 1; date",
			"from HELO ([192.0.2.1])\r\n\tby mx.example (8.17.1/8.17.1) with ESMTP id 1; date",
			"from n.example ([192.0.2.1] helo=HELO)\r\n\tby mx.example with esmtp (Exim 4.96) id 1; date",
			"from [192.0.2.1] (helo=HELO)\r\n\tby mx.example with esmtp (Exim 4.96) id 1; date",
		} {
			value := strings.Replace(server, "HELO", helo, 1)
			got, ok := ParseReceived(receivedField(value))
			if !ok {
				continue
			}
			if got.Client != netip.MustParseAddr("192.0.2.1") || got.By != "mx.example" || got.Authenticated {
				t.Errorf("ParseReceived(%q) = %+v; want 192.0.2.1 by mx.example", value, got)
			}
			if strings.ContainsAny(got.Helo, " \t\r\n()\x00") || got.Helo == "" && !strings.Contains(server, "helo=") {
				t.Errorf("ParseReceived(%q) gives HELO %q", value, got.Helo)
			}
		}
	})
}

// FuzzParseReceived reads a value as it is, and then as the word of a client in
// each place where a server writes one: nothing but HELO may hang on it.
func FuzzParseReceived(f *testing.F) {
	f.Add("from h (n [192.0.2.1]) by mx.example; date", uint64(1))
	f.Add("from [2001:db8::1]:25 (helo=h) by m", uint64(2))
	f.Add("from h (((((([192.0.2.1]", uint64(3))
	for i, word := range receivedtest.Words {
		f.Add(word, uint64(i))
	}
	f.Fuzz(func(t *testing.T, value string, seed uint64) {
		got, ok := ParseReceived(receivedField(value))
		if !ok && got != (Received{}) {
			t.Errorf("ParseReceived(%q) = %+v without being read", value, got)
		}
		if ok {
			checkReceived(t, value, got)
		}
		m := receivedtest.Maker{Rand: rand.New(rand.NewPCG(seed, 0)), By: "relay.receiver.example", Hostile: []string{value}}
		for _, form := range receivedtest.Forms {
			raw, want := form.Write(m)
			if got, ok := ParseReceived(NewField(raw)); !ok || receivedtest.Want(got) != want {
				t.Errorf("%s:\n%q\n= %+v, %v; want %+v", form.Server, raw, got, ok, want)
			}
		}
	})
}

// checkReceived checks what holds for every field that was read.
func checkReceived(t *testing.T, value string, got Received) {
	t.Helper()
	if by, err := ParseDomain(got.By); err != nil || by != got.By {
		t.Errorf("ParseReceived(%q) gives the server %q", value, got.By)
	}
	if !got.Client.IsValid() && !got.Authenticated || got.Client.Is4In6() || got.Client.Zone() != "" {
		t.Errorf("ParseReceived(%q) gives the client %v", value, got.Client)
	}
	if strings.ContainsFunc(got.Helo, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '(' || r == ')' }) {
		t.Errorf("ParseReceived(%q) gives HELO %q", value, got.Helo)
	}
}
