package whatif

import (
	"net/netip"
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/site/shape"
)

// evaluatorOf is the evaluator of the test configuration with changes, and the shape of
// rows that were made without them.
func evaluatorOf(t *testing.T, change func(*config.Config)) (j *evaluator, shaped string) {
	t.Helper()
	in, err := site.Load(testConfig(t), site.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	shaped = shape.Of(in.Config, nil)
	change(in.Config)
	l := in.Config.Listeners[0]
	return newEvaluator(in.Policy(l), nil).evaluating(in.Config, l), shaped
}

func TestWhatIfDecidesEvaluationAgain(t *testing.T) {
	trusting := func(networks ...string) func(*config.Config) {
		return func(c *config.Config) {
			c.Listeners[0].TrustedNetworks = nil
			for _, n := range networks {
				c.Listeners[0].TrustedNetworks = append(c.Listeners[0].TrustedNetworks, netip.MustParsePrefix(n))
			}
		}
	}
	relaying := func(network string) func(*config.Config) {
		return func(c *config.Config) {
			c.TrustedRelays = []config.TrustedRelay{{Networks: []netip.Prefix{netip.MustParsePrefix(network)}, Names: []string{"relay.example.org"}}}
		}
	}
	skipped := func(why policy.Skip) func(*policy.Facts) {
		return func(f *policy.Facts) { f.Skip, f.Authors = why, nil }
	}
	shortened := func(f *policy.Facts) {
		p, _ := f.Client.Prefix(24)
		f.Client, f.Missing = p.Addr(), policy.MissingClient
	}
	relayed := func(f *policy.Facts) { f.Relay = netip.MustParseAddr("198.51.100.9") }
	// The client of someFacts is in 203.0.113.0/24.
	tests := []struct {
		name   string
		change func(*config.Config)
		facts  policy.Facts
		doubt  string // part of it; "" is sure
		skip   policy.Skip
	}{
		{"a client elsewhere", trusting("192.0.2.0/24"), resultstest.Facts(1), "", policy.Evaluated},
		{"a client that becomes trusted", trusting("203.0.113.0/24"), resultstest.Facts(1), "", policy.TrustedNetwork},
		{"a client that stays trusted", trusting("203.0.113.0/24"), resultstest.Facts(1, skipped(policy.TrustedNetwork)), "", policy.TrustedNetwork},
		{"a client that is trusted no longer", trusting(), resultstest.Facts(1, skipped(policy.TrustedNetwork)), "listener.trusted_networks", ""},
		{"a shortened client in a network that holds all of its own", trusting("203.0.0.0/16"), resultstest.Facts(1, shortened), "", policy.TrustedNetwork},
		{"a shortened client in a network that holds a part of its own", trusting("203.0.113.0/25"), resultstest.Facts(1, shortened), "client address", ""},
		{"a shortened client in a network elsewhere", trusting("192.0.2.0/25"), resultstest.Facts(1, shortened), "", policy.Evaluated},
		{"a client that has authenticated", trusting("203.0.113.0/24"), resultstest.Facts(1, skipped(policy.Authenticated)), "", policy.Authenticated},
		{"a loopback client", trusting(), resultstest.Facts(1, skipped(policy.Loopback)), "", policy.Loopback},
		{"a client behind a relay, in a trusted network", trusting("203.0.113.0/24"), resultstest.Facts(1, relayed), "", policy.Evaluated},
		{"a client behind a relay that is none now", relaying("192.0.2.0/24"), resultstest.Facts(1, relayed), "trusted_relay.networks", ""},
		{"a client that becomes a relay", relaying("203.0.113.0/24"), resultstest.Facts(1), "trusted_relay.networks", ""},
		{"a client that does not", relaying("192.0.2.0/24"), resultstest.Facts(1), "", policy.Evaluated},
		{"an authenticated client that becomes a relay", relaying("203.0.113.0/24"), resultstest.Facts(1, skipped(policy.Authenticated)), "trusted_relay.networks", ""},
		{"no IP address", relaying("203.0.113.0/24"), resultstest.Facts(1, skipped(policy.NotIP)), "", policy.NotIP},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j, shape := evaluatorOf(t, tt.change)
			r := j.rule(&results.Row{Facts: tt.facts, Shape: shape, Settings: "others"})
			if tt.doubt != "" {
				if !strings.Contains(r.doubt, tt.doubt) {
					t.Errorf("rule() doubts %q; want something of %s", r.doubt, tt.doubt)
				}
				return
			}
			want := "not evaluated: " + string(tt.skip)
			if r.doubt != "" || (r.Why == want) != (tt.skip != policy.Evaluated) {
				t.Errorf("rule() = %+v, doubt %q; want it sure, skip %q", r.Decision, r.doubt, tt.skip)
			}
		})
	}
}

func TestWhatIfCannotTellOfShapesThatItCannotRead(t *testing.T) {
	j, shape := evaluatorOf(t, func(*config.Config) {})
	for _, tt := range []struct {
		shape         string
		sure, assumed bool
	}{{shape, true, false}, {"", true, true}, {"0", false, false}, {shape + "~1.", false, false}, {"1m", false, false}} {
		row := results.Row{Facts: resultstest.Facts(1), Shape: tt.shape, Settings: j.sum}
		r := j.rule(&row)
		if same := tt.sure && !tt.assumed; (r.doubt == "") != tt.sure || r.same != same || r.assumed != tt.assumed {
			t.Errorf("rule() of a row with shape %q: doubt %q, same %v, assumed %v; want it sure: %v, same: %v, assumed: %v",
				tt.shape, r.doubt, r.same, r.assumed, tt.sure, same, tt.assumed)
		}
	}
	skipped := results.Row{Facts: resultstest.Facts(1, func(f *policy.Facts) { f.Skip, f.Authors = policy.NotIP, nil })}
	if r := j.rule(&skipped); r.doubt != "" {
		t.Errorf("rule() of a message without an IP address doubts %q; want none: nothing shapes it", r.doubt)
	}
}
