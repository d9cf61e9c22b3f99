package enforce

import (
	"encoding/json"
	"strings"
	"testing"

	"dmarcgate/milter"
	"dmarcgate/policy"
)

// trafficZone has the domains of the envelope in these tests.
const trafficZone = `
reports.example.           TXT "v=spf1 -all"
bounces.reports.example.   TXT "v=spf1 -all"
x.bounces.reports.example. TXT "v=spf1 -all"
`

func TestReportTrafficOfMessages(t *testing.T) {
	const subject = "Subject: Report Domain: bank.example Submitter: mx.example"
	ours := ReportAddresses{Mailboxes: []string{"dmarc@reports.example", "rua@receiver.example"}, BounceDomain: "bounces.reports.example"}
	tests := []struct {
		name   string
		env    milter.Envelope
		fields []string
		want   policy.ReportTraffic
	}{
		{"ordinary mail", milter.Envelope{MailFrom: "a@bank.example", Rcpts: []string{"b@receiver.example"}}, nil, ""},
		{"the null path", milter.Envelope{Rcpts: []string{"b@receiver.example"}}, nil, policy.TrafficNullPath},
		{"to the mailbox for reports", milter.Envelope{MailFrom: "a@bank.example", Rcpts: []string{"RUA@Receiver.example"}}, nil, policy.TrafficOwn},
		{"to both", milter.Envelope{MailFrom: "a@bank.example", Rcpts: []string{"rua@receiver.example", "B+x@bounces.reports.example"}}, nil, policy.TrafficOwn},
		{"to the mailbox for reports and a person", milter.Envelope{MailFrom: "a@bank.example", Rcpts: []string{"rua@receiver.example", "b@receiver.example"}}, nil, ""},
		{"to recipients that are not all known", milter.Envelope{MailFrom: "a@bank.example", Rcpts: []string{"rua@receiver.example"}, RcptsTruncated: true}, nil, ""},
		{"without recipients", milter.Envelope{MailFrom: "a@bank.example"}, nil, ""},
		{"from the bounce domain", milter.Envelope{MailFrom: "b+aaaa@Bounces.Reports.example", Rcpts: []string{"b@receiver.example"}}, nil, policy.TrafficOwn},
		{"from below the bounce domain", milter.Envelope{MailFrom: "b+aaaa@x.bounces.reports.example", Rcpts: []string{"b@receiver.example"}}, nil, ""},
		{"from another address at the bounce domain", milter.Envelope{MailFrom: "b@bounces.reports.example", Rcpts: []string{"b@receiver.example"}}, nil, ""},
		{"from the mailbox of reports", milter.Envelope{MailFrom: "dmarc@reports.example", Rcpts: []string{"b@receiver.example"}}, nil, policy.TrafficOwn},
		{"by its header", milter.Envelope{MailFrom: "a@bank.example", Rcpts: []string{"b@receiver.example"}}, []string{subject}, policy.TrafficReport},
		{"from the null path and by its header", milter.Envelope{Rcpts: []string{"rua@receiver.example"}}, []string{subject}, policy.TrafficNullPath},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, bankZone+trafficZone)
			r.set.Reports = ours
			r.use()
			tt.env.Client = good
			r.send(tt.env, append([]string{"From: a@bank.example"}, tt.fields...)...)
			f := r.store.rows[0].Facts
			if f.ReportTraffic != tt.want || f.Ordinary() != (tt.want == "") {
				t.Errorf("report traffic = %q, ordinary %v; want %q", f.ReportTraffic, f.Ordinary(), tt.want)
			}
		})
	}
}

func TestReportTrafficWithoutAddressesOfOurs(t *testing.T) {
	r := newRig(t, bankZone)
	r.send(milter.Envelope{Client: good, MailFrom: "nobody", Rcpts: []string{""}}, "From: a@bank.example")
	if f := r.store.rows[0].Facts; !f.Ordinary() {
		t.Errorf("report traffic = %q; want ordinary mail: a site without reports has no addresses of them", f.ReportTraffic)
	}
}

func TestPrivacyReportTrafficKeepsNoLocalPart(t *testing.T) {
	r := newRig(t, bankZone+trafficZone)
	r.set.Reports = ReportAddresses{Mailboxes: []string{"jane.doe@receiver.example"}, BounceDomain: "bounces.reports.example"}
	r.use()
	r.send(milter.Envelope{Client: good, MailFrom: "b+secrettoken@bounces.reports.example", Rcpts: []string{"jane.doe@receiver.example", "john.roe@receiver.example"}}, "From: mary.major@bank.example")
	r.send(milter.Envelope{Client: good, MailFrom: "mary.major@bank.example", Rcpts: []string{"jane.doe@receiver.example"}}, "From: mary.major@bank.example")
	for _, row := range r.store.rows {
		text, err := json.Marshal(row)
		if err != nil || row.Facts.ReportTraffic != policy.TrafficOwn {
			t.Fatalf("row %s, %v; want one of our addresses", text, err)
		}
		for _, secret := range []string{"jane", "john", "mary", "secrettoken"} {
			if strings.Contains(string(text), secret) || strings.Contains(r.log.String(), secret) {
				t.Errorf("row or log has %q: %s, %s", secret, text, r.log)
			}
		}
	}
}
