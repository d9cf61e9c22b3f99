//go:build linux

package mtatest

import (
	"slices"
	"strings"
	"testing"
)

func TestAControlFileOfSendmailIsRead(t *testing.T) {
	const text = `V8
T1763750000
K0
qDMARC: reject.example: nothing authenticated
Fwbs8
$_mail.example [192.0.2.1]
S<a@sender.example>
rRFC822; b@receiver.example
RPFD:<b@receiver.example>
RPFD:<c@receiver.example>
H?P?Return-Path: <g>
H??Received: from x
	by mx.receiver.example
H??Subject:leading space kept
.
`
	q := parseQueueFile("6ALx", text)
	e := q.entry
	if e.ID != "6ALx" || e.Sender != "a@sender.example" || !slices.Equal(e.Rcpts, []string{"b@receiver.example", "c@receiver.example"}) ||
		e.Hold != "DMARC: reject.example: nothing authenticated" || e.Arrival.Unix() != 1763750000 {
		t.Errorf("parseQueueFile = %+v; want what the file says", e)
	}
	if want := "Received: from x\n\tby mx.receiver.example\nSubject:leading space kept\n"; q.header != want {
		t.Errorf("header = %q; want %q", q.header, want)
	}
	if q := parseQueueFile("x", "S<>\nH??A: b\n.\n"); q.entry.Sender != "" || q.entry.Rcpts != nil {
		t.Errorf("null sender: %+v", q.entry)
	}
}

func TestSendmailMCHasWhatTheTestWants(t *testing.T) {
	text, err := SendmailConfig{Milter: "S=local:/x, F=T", MC: "define(`confLOG_LEVEL', `20')dnl\n"}.mc("/tmp/d", "127.0.0.1:2526")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"`gate', `S=local:/x, F=T')", "TCP $h 2526'", "`/tmp/d/queue'", "Port=25'", "`confLOG_LEVEL', `20')dnl\nMAILER("} {
		if !strings.Contains(text, want) {
			t.Errorf("sendmail.mc lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "%!") {
		t.Errorf("sendmail.mc has a blank that is not filled:\n%s", text)
	}
	if text, err = (SendmailConfig{}).mc("/tmp/d", "127.0.0.1:2526"); err != nil || strings.Contains(text, "INPUT_MAIL_FILTER") {
		t.Errorf("without a milter: %v\n%s", err, text)
	}
}

func TestTheQueueIDOfSendmailIsFound(t *testing.T) {
	m := Mail{Data: []byte("Received: from x (y [192.0.2.1])\r\n\tby mx.receiver.example (8.17.1.9/8.17.1.9) with ESMTP id 6ALJoj9E024450\r\n\tfor <b@c>; date\r\n\r\n")}
	if got := m.QueueID(); got != "6ALJoj9E024450" {
		t.Errorf("QueueID() = %q; want 6ALJoj9E024450", got)
	}
	if got := (Reply{Code: 250, Text: "2.0.0 6ALJoj9E024450 Message accepted for delivery"}).QueueID(); got != "6ALJoj9E024450" {
		t.Errorf("QueueID() of the reply = %q; want 6ALJoj9E024450", got)
	}
}
