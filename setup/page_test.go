package setup

import (
	"os"
	"strings"
	"testing"

	"dmarcgate/mta/postfix"
	"dmarcgate/policy"
)

// The example of docs/setup.md is the plan for a host with OpenDKIM and amavis.
func TestSetupPageShowsThePlanOfItsExample(t *testing.T) {
	page, err := os.ReadFile("../docs/setup.md")
	if err != nil {
		t.Fatal(err)
	}
	i := instance([]postfix.Service{
		smtpd,
		service("submission/inet smtpd y", "smtpd_sasl_auth_enable=yes"),
		service("127.0.0.1:10025/inet smtpd n", "content_filter=", "mynetworks=127.0.0.0/8"),
	}, "smtpd_milters=inet:localhost:8891", "non_smtpd_milters=$smtpd_milters")
	p, err := PlanPostfix(i, target(policy.Monitor))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	p.print(&out, i, target(policy.Monitor))
	if want := "```console\n# dmarcgate setup postfix\n" + out.String() + "```\n"; !strings.Contains(string(page), want) {
		t.Errorf("docs/setup.md does not have\n%s", want)
	}
}
