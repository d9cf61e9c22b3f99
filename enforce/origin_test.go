package enforce

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"dmarcgate/internal/receivedtest"
	"dmarcgate/internal/scale"
	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy"
)

// relays are the hosts of these tests: two of which each is a set of its own.
var relays = []Relay{
	{
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("2001:db8:1::/64")},
		Inner:    []netip.Prefix{netip.MustParsePrefix("10.0.9.0/24")},
		Names:    []string{"relay.receiver.example", "filter.receiver.example"},
	},
	{
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")},
		Inner:    []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24")},
		Names:    []string{"outer.receiver.example"},
	},
}

// from is a Received field as Postfix writes it.
func from(helo, client, by, protocol string) string {
	return fmt.Sprintf("Received: from %s (unknown [%s])\r\n\tby %s (Postfix) with %s id 4X; Sat, 21 Nov 2026 10:00:00 +0000\r\n", helo, client, by, protocol)
}

func headerOf(fields ...string) message.Header {
	var h message.Header
	for _, f := range fields {
		h = append(h, message.NewField([]byte(f)))
	}
	return h
}

func TestOriginReadsTheClientBehindOurRelays(t *testing.T) {
	const relay, outer = "relay.receiver.example", "outer.receiver.example"
	forged := from("mx.bank.example", "192.0.2.99", relay, "ESMTPSA")
	client := from("mx.shop.example", "192.0.2.1", relay, "ESMTP")
	loop := from("localhost", "127.0.0.1", relay, "ESMTP")
	amavis := "Received: from relay.receiver.example ([127.0.0.1])\r\n by localhost (relay.receiver.example [127.0.0.1]) (amavis, port 10024)\r\n with ESMTP id x; date\r\n"
	tests := []struct {
		name     string
		received []string
		want     string // address of the client
		skip     policy.Skip
		unknown  policy.UnknownClient
	}{
		{"one relay", []string{client}, "192.0.2.1", "", ""},
		{"what the client sent along stands below", []string{client, forged, loop}, "192.0.2.1", "", ""},
		{"two relays of two sets", []string{from("o", "10.0.0.2", relay, "ESMTP"), from("m", "192.0.2.1", outer, "ESMTP")}, "192.0.2.1", "", ""},
		{"a relay behind itself by its own address", []string{from("r", "10.0.0.1", relay, "ESMTP"), client}, "192.0.2.1", "", ""},
		{"a relay whose IPv6 address stands in the field", []string{from("r", "IPv6:2001:db8:1::7", relay, "ESMTP"), client}, "192.0.2.1", "", ""},
		{"an inner host", []string{from("f", "10.0.9.4", relay, "ESMTP"), from("m", "192.0.2.1", "filter.receiver.example", "ESMTP")}, "192.0.2.1", "", ""},
		{"an inner host of another set is the client", []string{from("f", "10.0.8.4", relay, "ESMTP"), forged}, "10.0.8.4", "", ""},
		{"any other private address is the client", []string{from("f", "10.0.7.4", relay, "ESMTP"), forged}, "10.0.7.4", "", ""},
		{"a content filter over loopback", []string{loop, client}, "192.0.2.1", "", ""},
		{"a content filter over IPv6 loopback", []string{from("localhost", "IPv6:::1", relay, "ESMTP"), client}, "192.0.2.1", "", ""},
		{"amavis", []string{loop, amavis, client, forged}, "192.0.2.1", "", ""},
		{"two relays with amavis each", []string{loop, amavis, from("o", "10.0.0.2", relay, "ESMTP"), from("localhost", "127.0.0.1", outer, "ESMTP"), amavis, from("m", "192.0.2.1", outer, "ESMTP")}, "192.0.2.1", "", ""},
		{"localhost names no host behind another one", []string{from("f", "10.0.9.4", relay, "ESMTP"), amavis}, "", "", policy.ClientOtherHost},
		{"localhost does not give us the topmost field", []string{amavis, client}, "", "", policy.ClientOtherHost},
		{"a client in a trusted network is evaluated", []string{from("f", "198.51.100.7", relay, "ESMTP")}, "198.51.100.7", "", ""},
		{"a submission", []string{from("f", "192.0.2.1", relay, "ESMTPSA")}, "192.0.2.1", policy.Authenticated, ""},
		{"a submission at the outer relay", []string{from("o", "10.0.0.2", relay, "ESMTP"), from("m", "192.0.2.1", outer, "ESMTPA")}, "192.0.2.1", policy.Authenticated, ""},
		{"a submission over loopback", []string{from("localhost", "127.0.0.1", relay, "ESMTPA"), forged}, "127.0.0.1", policy.Authenticated, ""},
		{"a submission whose client is hidden", []string{"Received: by relay.receiver.example (Postfix) with ESMTPSA id 4X; date\r\n"}, "", policy.Authenticated, ""},
		{"a relay that authenticates to the next is no submission", []string{from("o", "10.0.0.2", relay, "ESMTPSA"), from("m", "192.0.2.1", outer, "ESMTP")}, "192.0.2.1", "", ""},
		{"a submission that the client's own field tells of", []string{client, from("x", "192.0.2.9", relay, "ESMTPSA")}, "192.0.2.1", "", ""},
		{"no field", nil, "", "", policy.ClientNoField},
		{"no field behind the content filter", []string{loop}, "", "", policy.ClientNoField},
		{"a field of another host on top", []string{from("m", "192.0.2.1", "evil.example", "ESMTP"), client}, "", "", policy.ClientOtherHost},
		{"a field of the wrong one of our hosts", []string{from("m", "192.0.2.1", outer, "ESMTP")}, "", "", policy.ClientOtherHost},
		{"a submission at another host", []string{from("m", "192.0.2.1", "evil.example", "ESMTPSA")}, "", "", policy.ClientOtherHost},
		{"a field that cannot be read", []string{"Received: hello\r\n", client}, "", "", policy.ClientUnreadable},
		{"mail of a user of the relay", []string{"Received: by relay.receiver.example (Postfix, from userid 0) id 4X; date\r\n", client}, "", "", policy.ClientUnreadable},
		{"five hosts", append(slicesRepeat(from("r", "10.0.0.1", relay, "ESMTP"), 4), client), "192.0.2.1", "", ""},
		{"six hosts", append(slicesRepeat(from("r", "10.0.0.1", relay, "ESMTP"), 5), client), "", "", policy.ClientTooFar},
		{"a loop within the relay", append(slicesRepeat(loop, maxReadings), client), "", "", policy.ClientTooFar},
	}
	s := Settings{Relays: relays, Trusted: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("10.0.0.0/8")}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			connected := netip.MustParseAddr("10.0.0.1")
			c, skip := s.origin(&milter.Envelope{Client: connected, ClientName: "relay.receiver.example", Helo: "relay.receiver.example"}, headerOf(tt.received...))
			var want netip.Addr
			if tt.want != "" {
				want = netip.MustParseAddr(tt.want)
			}
			if c.addr != want || skip != tt.skip || c.unknown != tt.unknown || c.relay != connected || c.name != "" {
				t.Errorf("origin = %+v, skip %q; want client %v, skip %q, unknown %q", c, skip, want, tt.skip, tt.unknown)
			}
		})
	}
}

func slicesRepeat(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func TestOriginOfClientsThatConnectToThisHost(t *testing.T) {
	s := Settings{Relays: relays, Trusted: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}
	received := from("mx.shop.example", "192.0.2.1", "relay.receiver.example", "ESMTPSA")
	tests := []struct {
		name    string
		env     milter.Envelope
		want    string
		skip    policy.Skip
		unknown policy.UnknownClient
	}{
		{"a client from outside, whose Received fields count for nothing", milter.Envelope{Client: netip.MustParseAddr("203.0.113.66")}, "203.0.113.66", "", ""},
		{"an inner host that connects here is no relay", milter.Envelope{Client: netip.MustParseAddr("10.0.9.4")}, "10.0.9.4", "", ""},
		{"loopback", milter.Envelope{Client: netip.MustParseAddr("127.0.0.1")}, "127.0.0.1", policy.Loopback, ""},
		{"IPv6 loopback", milter.Envelope{Client: netip.MustParseAddr("::1")}, "::1", policy.Loopback, ""},
		{"a trusted network", milter.Envelope{Client: netip.MustParseAddr("198.51.100.7")}, "198.51.100.7", policy.TrustedNetwork, ""},
		{"a submission", milter.Envelope{Client: netip.MustParseAddr("203.0.113.66"), Authenticated: "u"}, "203.0.113.66", policy.Authenticated, ""},
		{"a local socket", milter.Envelope{Local: true}, "", policy.NotIP, ""},
		{"sendmail(1) and non_smtpd_milters", milter.Envelope{Client: netip.MustParseAddr("127.0.0.1"), Local: true}, "127.0.0.1", policy.Loopback, ""},
		{"no address (family U)", milter.Envelope{ClientName: "unknown"}, "", "", policy.ClientNoAddress},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, skip := s.origin(&tt.env, headerOf(received))
			var want netip.Addr
			if tt.want != "" {
				want = netip.MustParseAddr(tt.want)
			}
			if c.addr != want || skip != tt.skip || c.unknown != tt.unknown || c.relay.IsValid() || c.unknown != "" && c.name != "" {
				t.Errorf("origin = %+v, skip %q; want client %v, skip %q, unknown %q", c, skip, want, tt.skip, tt.unknown)
			}
		})
	}
}

// Mail of sendmail(1) is no mail of a relay that comes over loopback, whatever
// its Received fields say.
func TestOriginOfLocalMailBesideARelayOnLoopback(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	s := Settings{Relays: []Relay{{Networks: []netip.Prefix{netip.PrefixFrom(loopback, 32)}, Names: []string{"relay.receiver.example"}}}}
	received := from("mx.shop.example", "192.0.2.1", "relay.receiver.example", "ESMTPSA")
	for local, want := range map[bool]string{false: "192.0.2.1", true: "127.0.0.1"} {
		c, skip := s.origin(&milter.Envelope{Client: loopback, Local: local}, headerOf(received))
		if c.addr.String() != want || local && skip != policy.Loopback {
			t.Errorf("origin with Local %v = %+v, skip %q; want client %s", local, c, skip, want)
		}
	}
}

func TestOriginOfARelayThatAuthenticatesHere(t *testing.T) {
	s := Settings{Relays: relays}
	env := &milter.Envelope{Client: netip.MustParseAddr("10.0.0.1"), Authenticated: "relay"}
	tests := []struct {
		name, field, want string
		skip              policy.Skip
	}{
		{"mail of others", from("m", "192.0.2.1", "relay.receiver.example", "ESMTP"), "192.0.2.1", policy.Evaluated},
		{"a submission at the relay", from("m", "192.0.2.1", "relay.receiver.example", "ESMTPSA"), "192.0.2.1", policy.Authenticated},
		{"a user at an address of the relays", "Received: from phone by app with HTTP; date\r\n", "10.0.0.1", policy.Authenticated},
		{"a user whose program writes no field", "Subject: x\r\n", "10.0.0.1", policy.Authenticated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, skip := s.origin(env, headerOf(tt.field))
			if c.addr != netip.MustParseAddr(tt.want) || skip != tt.skip || c.unknown != "" {
				t.Errorf("origin = %+v, skip %q; want client %s, skip %q", c, skip, tt.want, tt.skip)
			}
		})
	}
}

// TestOriginIsNotMovedByTheClient puts, above whatever Received fields a client
// sends along, those of one to five hosts of ours, some with a content filter.
func TestOriginIsNotMovedByTheClient(t *testing.T) {
	rng := rand.New(rand.NewPCG(7208, 9989))
	addrs := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	outside := receivedtest.Maker{Rand: rng, By: "relay.receiver.example", Clients: addrs("192.0.2.1", "10.0.7.4", "2001:db8::1", "198.51.100.7")}
	inside := receivedtest.Maker{Rand: rng, By: "relay.receiver.example", Clients: addrs("10.0.0.1", "10.0.9.4", "2001:db8:1::9"), Hostile: []string{"relay.receiver.example"}}
	looped := receivedtest.Maker{Rand: rng, By: "relay.receiver.example", Clients: addrs("127.0.0.1", "::1"), Hostile: []string{"localhost"}}
	filter := receivedtest.Maker{Rand: rng, By: "localhost", Clients: addrs("127.0.0.1"), Hostile: []string{"localhost"}}
	theirs := receivedtest.Maker{Rand: rng, By: "relay.receiver.example"} // forged
	s := Settings{Relays: relays, Trusted: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("10.0.0.0/8")}}
	for i := range 2000 * scale.Of(t) {
		var fields []string
		ours := func(m receivedtest.Maker) {
			for {
				if _, raw, want := m.Field(); !want.Authenticated { // that of a hidden client leads nowhere
					fields = append(fields, string(raw))
					return
				}
			}
		}
		for range rng.IntN(maxHops) {
			if rng.IntN(2) == 0 {
				ours(looped)
				ours(filter)
			}
			ours(inside)
		}
		_, raw, want := outside.Field()
		fields = append(fields, string(raw))
		for range rng.IntN(4) {
			_, raw, _ := theirs.Field()
			fields = append(fields, string(raw))
		}
		c, skip := s.origin(&milter.Envelope{Client: netip.MustParseAddr("10.0.0.1")}, headerOf(fields...))
		wantSkip := policy.Evaluated
		if want.Authenticated {
			wantSkip = policy.Authenticated
		}
		if c.addr != want.Client || c.helo != want.Helo || c.unknown != "" || skip != wantSkip {
			t.Fatalf("header %d:\n%s= %+v, skip %q; want %+v", i, strings.Join(fields, ""), c, skip, want)
		}
	}
}

func TestUnknownClientIsCountedByItsCause(t *testing.T) {
	r := newRig(t, bankZone+"mx.bank.example. A 192.0.2.1\n")
	r.set.Relays = relays
	r.use()
	r.send(milter.Envelope{Client: netip.MustParseAddr("10.0.0.1"), MailFrom: "a@bank.example"}, "Received: hello", "From: a@bank.example")
	r.send(milter.Envelope{MailFrom: "a@bank.example"}, "From: a@bank.example")
	r.send(milter.Envelope{Client: good, MailFrom: "a@bank.example"}, "From: a@bank.example")
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "dmarcgate_unknown_client_total" && m.Counter.GetValue() > 0 {
				got[m.Label[0].GetValue()] = m.Counter.GetValue()
			}
		}
	}
	if len(got) != 2 || got["unreadable"] != 1 || got["no_address"] != 1 {
		t.Errorf("unknown clients = %v; want one unreadable, one no_address", got)
	}
	for i, want := range []policy.UnknownClient{policy.ClientUnreadable, policy.ClientNoAddress, policy.ClientKnown} {
		f := r.store.rows[i].Facts
		if f.UnknownClient != want || (want != "") == f.Client.IsValid() || want != "" && f.SPF.Result != "none" {
			t.Errorf("row %d = client %v, unknown %q, SPF %q; want unknown %q", i, f.Client, f.UnknownClient, f.SPF.Result, want)
		}
	}
}
