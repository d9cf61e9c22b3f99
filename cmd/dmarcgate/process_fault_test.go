package main

import (
	"fmt"
	"strings"
	"testing"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
)

// plantedSubject begins the Subject of a message for fault.go.
const plantedSubject = "planted panic: "

// A planted panic costs its own message a 451 and nothing else: the next one
// on the same connection is served, and the process is the same.
func TestDaemonPanicCostsOneMessage(t *testing.T) {
	for _, stage := range []string{"start", "write", "finish", "spf", "dkim", "dmarc"} {
		t.Run("in "+stage, func(t *testing.T) {
			dns := dnstest.New(t, processZone)
			h := newHost(t, hostConfig{dns: dns.Addr()})
			p := h.start()
			c := h.session()
			m := subjectMail("good.example", "4Xpanic", plantedSubject+stage)
			m.Message = append([]byte("DKIM-Signature: v=1; a=rsa-sha256; d=good.example; s=s1; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=eA==\r\n"), m.Message...)
			res, err := c.Send(m)
			if err != nil {
				p.mustRun()
				t.Fatalf("the MTA loses its connection, and with it the SMTP session's other messages: %v", err)
			}
			if res.Code != 451 || res.Enhanced != "4.3.0" {
				t.Errorf("answer = %v %d %s %s; want 451 4.3.0", res.Action, res.Code, res.Enhanced, res.Text)
			}
			checkPanic(t, p, stage)
			if err := sendDomain(c, "bad.example", "4Xafter"); err != nil {
				t.Errorf("the next message on the connection: %v", err)
			}
			p.metricIs(0, "dmarcgate_milter_messages_in_flight")
			p.metricIs(1, "dmarcgate_milter_sessions_total")
			c.Close()
			p.stop()
			rows := h.rows()
			if _, ok := rows["4Xafter"]; !ok {
				t.Error("the message after the panic has no row")
			}
			if row, ok := rows["4Xpanic"]; ok {
				t.Errorf("the message without a decision has the row %+v", row)
			}
		})
	}
}

// checkPanic looks for what an operator sees of a panic.
func checkPanic(t *testing.T, p *process, stage string) {
	t.Helper()
	p.metricIs(1, "dmarcgate_milter_errors_total", `kind="panic"`)
	line := p.line("level=ERROR", "panic", "qid=4X")
	for _, want := range []string{"planted at " + stage, "goroutine ", "fault.go"} {
		if !strings.Contains(line, want) {
			t.Errorf("the log's line about the panic is %q; want %q in it", line, want)
		}
	}
}

// A panic after the answer was written is too late for a 451: it is counted,
// and the connection goes on.
func TestDaemonPanicAfterAnswerCostsNothing(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	p := h.start()
	c := h.session()
	res, err := c.Send(subjectMail("good.example", "4Xsent", plantedSubject+"sent"))
	if err != nil || res.Action != miltertest.Continue {
		t.Errorf("answer = %+v, %v; want the message delivered", res, err)
	}
	if err := sendDomain(c, "good.example", "4Xnext"); err != nil {
		t.Errorf("the next message on the connection: %v", err)
	}
	checkPanic(t, p, "sent")
	p.metricIs(0, "dmarcgate_milter_messages_in_flight")
	c.Close()
	p.stop()
	if rows := h.rows(); len(rows) != 2 {
		t.Errorf("rows = %d; want 2: both messages were answered", len(rows))
	}
}

// Many panics leave nothing behind.
func TestDaemonManyPanicsLeakNothing(t *testing.T) {
	n := 60 * scale.Of(t)
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	p := h.start()
	c := h.session()
	if err := sendDomain(c, "good.example", "4Xfirst"); err != nil {
		t.Fatal(err)
	}
	goroutines := p.metric("go_goroutines")
	for i := range n {
		stage := []string{"start", "write", "finish", "spf", "dmarc"}[i%5]
		if res, err := c.Send(subjectMail("good.example", fmt.Sprintf("4X%d", i), plantedSubject+stage)); err != nil || res.Code != 451 {
			t.Fatalf("answer to panic %d, in %s = %+v, %v; want 451", i, stage, res, err)
		}
	}
	p.metricIs(float64(n), "dmarcgate_milter_errors_total", `kind="panic"`)
	p.metricIs(0, "dmarcgate_milter_messages_in_flight")
	p.awaitMetric(fmt.Sprintf("to be what it was before, %v", goroutines), func(v float64) bool { return v <= goroutines }, "go_goroutines")
}
