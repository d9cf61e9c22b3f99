package casefile

import (
	"bytes"
	"strings"
	"testing"

	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy"
)

func TestRedactionKeepsTheStructureOfFields(t *testing.T) {
	tests := []struct{ name, field, want string }{
		{"an address with a name", "From: Jane Roe <jane@bank.example>", "From: x x <local-1@bank.example>"},
		{"a list", "To: a@x.example, B <b@y.example>", "To: local-1@x.example, x <local-2@y.example>"},
		{"the same local part", "To: a@x.example, a@y.example", "To: local-1@x.example, local-1@y.example"},
		{"a quoted name", `From: "Roe, Jane" (office) <jane@bank.example>`, `From: "x, x" (x) <local-1@bank.example>`},
		{"an encoded word", "From: =?utf-8?B?SmFuZQ==?= <jane@bank.example>", "From: x <local-1@bank.example>"},
		{"two at signs", "From: <a@b.example@c.example>", "From: <local-1@b.example@c.example>"},
		{"a fold", "From: Jane\r\n <jane@bank.example>", "From: x\r\n <local-1@bank.example>"},
		{"a space before the colon", "From : jane@bank.example", "From : local-1@bank.example"},
		{"a group", "To: Friends: a@x.example;", "To: x: local-1@x.example;"},
		{"a subject", "Subject: about Jane", "Subject: redacted"},
		{"any other field", "X-Account: 4711", "X-Account: redacted"},
		{"a message id", "Message-ID: <4711@host.example>", "Message-ID: <redacted@redacted.example>"},
		{"a list id", "List-Id: Jane's friends <janes-friends.Lists.example>", "List-Id: <list-1.lists.example>"},
		{"a list id that rules cannot name", "List-Id: Jane's friends", "List-Id: redacted"},
		{"a list id of one label", "List-Id: <janes-friends>", "List-Id: redacted"},
		{"a list id with two brackets", "List-Id: <jane.a.example> <jane.b.example>", "List-Id: <list-1.b.example>"},
		{"another list field", "List-Post: <mailto:jane@lists.example>", "List-Post: redacted"},
		{"a date", "Date: Sat, 21 Nov 2026 10:00:00 +0000", "Date: Sat, 21 Nov 2026 10:00:00 +0000"},
		{"an identity", "DKIM-Signature: v=1; d=bank.example; i=jane@bank.example; b=AAAA", "DKIM-Signature: v=1; d=bank.example; i=local-1@bank.example; b=AAAA"},
		{"an identity without a local part", "DKIM-Signature: i=@bank.example; b=AA", "DKIM-Signature: i=@bank.example; b=AA"},
		{"copies of fields", "DKIM-Signature: v=1; z=Subject:about=20Jane|To:j@x.example; b=AA", "DKIM-Signature: v=1; z=redacted:; b=AA"},
		{
			"results", `Authentication-Results: mx.example; spf=pass smtp.mailfrom=bounce+jane=x.example@esp.example; auth=pass smtp.auth=jane`,
			`Authentication-Results: mx.example; spf=pass smtp.mailfrom=local-1@esp.example; auth=pass smtp.auth=redacted`,
		},
		{"a quoted local part in results", `Authentication-Results: mx.example; spf=pass smtp.mailfrom="jane roe"@esp.example`, `Authentication-Results: mx.example; spf=pass smtp.mailfrom=local-1@esp.example`},
		{"no colon", "nothing", "nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string((&redactor{}).field([]byte(tt.field+"\r\n"), false))
			if got != tt.want+"\r\n" {
				t.Errorf("field(%q) = %q; want %q", tt.field, got, tt.want+"\r\n")
			}
		})
	}
}

func TestRedactionOfTheEnvelope(t *testing.T) {
	r := &redactor{}
	for _, tt := range []struct{ in, want string }{
		{"", ""}, {"jane@bank.example", "local-1@bank.example"}, {"jane", "local-1"}, {"b+jane=x.example@esp.example", "local-2@esp.example"},
		{`"a b"@bank.example`, "local-3@bank.example"}, {"@relay.example:jane@bank.example", "@relay.example:local-1@bank.example"},
		{"a@b@c.example", "local-4@c.example"}, {"@x.example", "@x.example"},
	} {
		if got := r.address(tt.in); got != tt.want {
			t.Errorf("address(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestRedactionGivesEachListItsPlaceholder(t *testing.T) {
	r := &redactor{}
	for _, tt := range []struct{ in, want string }{
		{"a <jane.x.example>", "<list-1.x.example>"}, {"b <JANE.x.example>", "<list-1.x.example>"}, {"<joe.x.example>", "<list-2.x.example>"}, {"<jane.y.example>", "<list-3.y.example>"},
	} {
		if got := string(r.field([]byte("List-Id: "+tt.in+"\r\n"), false)); got != "List-Id: "+tt.want+"\r\n" {
			t.Errorf("field(List-Id: %s) = %q; want %s", tt.in, got, tt.want)
		}
	}
}

func TestNothingPrivateIsLeftInARedactedMessage(t *testing.T) {
	text := strings.ReplaceAll(`Return-Path: <priv1@bank.example>
Received: from host (Authenticated sender: priv2) by mx.example for <priv3@receiver.example>; Sat, 21 Nov 2026 10:00:00 +0000
DKIM-Signature: v=1; d=bank.example; i=priv4@bank.example; z=From:priv5@bank.example; b=AAAA
ARC-Authentication-Results: i=1; x.example; auth=pass smtp.auth=priv6; spf=pass smtp.mailfrom=priv7@x.example
Received-SPF: pass (host: domain of priv8@x.example designates) envelope-from="priv9@x.example"
From: priv10 "priv11" (priv12) <priv13@bank.example>
To: undisclosed priv14: priv15@x.example;
List-Unsubscribe: <mailto:priv16@x.example>
Subject: priv17
 priv18
Content-Type: multipart/mixed; boundary=priv19; name="priv20"
X-Anything: priv21

priv22
`, "\n", "\r\n")
	header, body := message.Split([]byte(text))
	m := Letter{&milter.Envelope{MailFrom: "priv23@x.example", Rcpts: []string{"priv24@y.example", "priv25"}}, header, body}
	for _, skip := range []policy.Skip{policy.Evaluated, policy.BehindRelay} { // the second keeps Received
		got := (&redactor{}).letter(m, policy.Facts{Skip: skip})
		all := bytes.Join(append(got.Header, got.Body, []byte(got.Env.MailFrom), []byte(strings.Join(got.Env.Rcpts, " "))), nil)
		if bytes.Contains(all, []byte("priv")) {
			t.Errorf("redacted with skip %q:\n%s", skip, all)
		}
		if len(got.Header) != len(header) {
			t.Errorf("%d fields are left of %d", len(got.Header), len(header))
		}
	}
}

// FuzzRedaction: whatever the field, it stays one field of the same name.
func FuzzRedaction(f *testing.F) {
	for _, seed := range []string{"From: a <b@c.example>", "DKIM-Signature: z=;;i=@;=@", `To: "\"@"@"`, "From:@@@", "Received: from a", ":"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		field = strings.NewReplacer("\r", "", "\n", "").Replace(field)
		raw := []byte(field + "\r\n")
		for _, relayed := range []bool{false, true} {
			got := (&redactor{}).field(raw, relayed)
			before, _, colon := strings.Cut(field, ":")
			if after, _, ok := strings.Cut(string(got), ":"); colon && (!ok || after != before) {
				t.Errorf("field(%q) = %q; want the same name", raw, got)
			}
			if bytes.Count(got, []byte("\n")) != 1 || !bytes.HasSuffix(got, []byte("\r\n")) {
				t.Errorf("field(%q) = %q; want one line", raw, got)
			}
		}
	})
}
