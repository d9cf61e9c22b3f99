package enforce

import (
	"net/netip"
	"strings"
	"testing"

	"dmarcgate/milter"
	"dmarcgate/policy"
)

// Who bans clients that send forgeries has to know a forwarder of the configuration,
// under the profile strict as well, which does not ask for evidence.
func TestLogLineSaysThatAForwarderOfTheConfigurationHandedTheMessageOver(t *testing.T) {
	r := newRig(t, "_dmarc.bank.example. TXT \"v=DMARC1; p=reject\"\nbank.example. TXT \"v=spf1 -all\"\n")
	r.set.Policy.TrustedForwarders = policy.TrustedForwarders{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}
	r.use()
	for _, tt := range []struct {
		client string
		want   bool
	}{{"192.0.2.3", true}, {"203.0.113.66", false}} {
		r.log.Reset()
		r.send(milter.Envelope{Client: netip.MustParseAddr(tt.client), MailFrom: "a@bank.example", Helo: "x forwarder=yes"}, "From: a@bank.example")
		line := r.log.String()
		if got := strings.Contains(line, " forwarder=yes dur="); got != tt.want || !strings.Contains(line, "action=reject") {
			t.Errorf("log line of a message from %s = %q; want forwarder=yes: %v", tt.client, line, tt.want)
		}
	}
}
