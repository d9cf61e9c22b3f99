package main

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
)

// Several connections send different messages at once, with messages given up
// in between. Each answer must be the one for its message, and each answered
// message must have exactly one row, written before the answer.
func TestServeRecordsAnsweredMessages(t *testing.T) {
	const connections = 8
	messages := 40 * scale.Of(t)
	dns := dnstest.New(t, `
good.example.         TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.good.example.  TXT "v=DMARC1; p=reject"
bad.example.          TXT "v=spf1 -all"
_dmarc.bad.example.   TXT "v=DMARC1; p=reject"
`)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Extra: patientStore})
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() {
			if err := flood(d, c, messages); err != nil {
				t.Errorf("connection %d: %v", c, err)
			}
		})
	}
	wg.Wait()
	rows, err := d.Store().Recent(t.Context(), 2*connections*messages)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, r := range rows {
		if seen[r.Facts.QueueID] {
			t.Errorf("two rows for %s", r.Facts.QueueID)
		}
		seen[r.Facts.QueueID] = true
	}
	if len(seen) != connections*messages {
		t.Errorf("rows = %d; want %d", len(seen), connections*messages)
	}
}

// flood sends messages over one connection, a good one and a bad one in turn.
func flood(d *served, c, messages int) error {
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{Sendmail: c%2 == 1})
	if err != nil {
		return err
	}
	defer client.Close()
	for i := range messages {
		domain, code := "good.example", 0
		if (i+c)%2 == 1 {
			domain, code = "bad.example", 550
		}
		if i%10 == 9 && c%2 == 0 {
			if err := giveUp(client); err != nil {
				return err
			}
		}
		qid := fmt.Sprintf("4X%dy%d", c, i)
		res, err := client.Send(miltertest.Mail{
			Client: demoShop, Helo: "[192.0.2.10]", From: "a@" + domain, Rcpts: []string{"u@receiver.example"},
			QueueID: qid, Message: []byte("From: a@" + domain + "\r\n\r\nhello\r\n"),
		})
		if err != nil {
			return err
		}
		if res.Code != code {
			return fmt.Errorf("message %s from %s: reply %d %s; want %d", qid, domain, res.Code, res.Text, code)
		}
		if rows, err := d.Store().ByQueueID(context.Background(), qid); err != nil || len(rows) != 1 || rows[0].Facts.MailFrom != domain {
			return fmt.Errorf("message %s from %s: rows %+v, %v right after the answer; want its one", qid, domain, rows, err)
		}
	}
	return nil
}

// giveUp begins a message and aborts it after its header.
func giveUp(c *miltertest.Client) error {
	for _, step := range []func() (miltertest.Reply, error){
		func() (miltertest.Reply, error) { return c.Mail("a@bad.example") },
		func() (miltertest.Reply, error) { return c.Rcpt("u@receiver.example") },
		func() (miltertest.Reply, error) { return c.Field("From", " a@bad.example") },
		c.EndOfHeader,
	} {
		if _, err := step(); err != nil {
			return err
		}
	}
	return c.Abort()
}
