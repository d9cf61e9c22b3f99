//go:build mta

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/mtatest"
	"dmarcgate/policy"
)

// mailServer is what the tests need of Postfix and of Sendmail alike.
type mailServer interface {
	Session(mtatest.Client) (*mtatest.Session, error)
	Delivered(context.Context, func(mtatest.Mail) bool) (mtatest.Mail, error)
	Log() string
}

func (s *mtaSite) mta() mailServer {
	if s.sendmail != nil {
		return s.sendmail
	}
	return s.postfix
}

// behindEach runs a test behind a real Postfix and behind a real Sendmail.
func behindEach(t *testing.T, f func(*testing.T, *mtaSite)) {
	t.Run("Postfix", func(t *testing.T) { f(t, startSite(t, "strict", "tag")) })
	t.Run("Sendmail", func(t *testing.T) { f(t, startSendmailSite(t, "strict", "tag")) })
}

func (s *mtaSite) session(t *testing.T, c mtatest.Client) *mtatest.Session {
	t.Helper()
	session, err := s.mta().Session(c)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.mta().Log())
	}
	return session
}

// accepted sends a letter that is to be taken, and returns its queue id.
func (s *mtaSite) accepted(t *testing.T, session *mtatest.Session, mailFrom string, data []byte) string {
	t.Helper()
	r := sendLetter(t, session, mailFrom, data)
	if r.Code != 250 || r.QueueID() == "" {
		t.Fatalf("reply = %v; want 250 with a queue id\n%s", r, s.mta().Log())
	}
	return r.QueueID()
}

// delivered waits for the message with this queue id to arrive.
func (s *mtaSite) delivered(t *testing.T, qid string) mtatest.Mail {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := s.mta().Delivered(ctx, func(m mtatest.Mail) bool { return m.QueueID() == qid })
	if err != nil {
		t.Fatalf("message %s: %v\n%s", qid, err, s.mta().Log())
	}
	return m
}

func TestMTAForgetsAMessageAtRSETAndARejectedRecipient(t *testing.T) {
	behindEach(t, func(t *testing.T, s *mtaSite) {
		session := s.session(t, shopHost)
		step := func(want int, f func() (mtatest.Reply, error)) {
			t.Helper()
			if r, err := f(); err != nil || r.Code != want {
				t.Fatalf("reply = %v, %v; want %d", r, err, want)
			}
		}
		denied := 550 // what the MTA answers to a recipient elsewhere
		if s.sendmail == nil {
			denied = 554
		}
		step(250, func() (mtatest.Reply, error) { return session.MAIL("x@reject.example") })
		step(250, func() (mtatest.Reply, error) { return session.RCPT("first@receiver.example") })
		step(250, session.RSET)
		step(250, func() (mtatest.Reply, error) { return session.MAIL("bounce@shop.example") })
		step(denied, func() (mtatest.Reply, error) { return session.RCPT("nobody@elsewhere.example") })
		step(250, func() (mtatest.Reply, error) { return session.RCPT("user@receiver.example") })
		r, err := session.DATA(mailText("orders@shop.example", "after RSET", ""))
		if err != nil || r.Code != 250 {
			t.Fatalf("reply = %v, %v; want 250", r, err)
		}
		f := s.last(t).Facts
		if f.MailFrom != "shop.example" || !slices.Equal(f.Recipients, []string{"receiver.example"}) {
			t.Errorf("row has MAIL FROM domain %s and recipients %v; want shop.example and receiver.example only", f.MailFrom, f.Recipients)
		}
		if rows, err := s.daemon.Store().Recent(t.Context(), 10); err != nil || len(rows) != 1 {
			t.Errorf("rows = %d, %v; want one: a message that was given up has none", len(rows), err)
		}
	})
}

func TestMTARemovesFiveForgedResults(t *testing.T) {
	behindEach(t, func(t *testing.T, s *mtaSite) {
		forged := "Authentication-Results: mx.receiver.example; dmarc=pass header.from=forged1.example\r\n" +
			"authentication-results: MX.Receiver.Example; dmarc=pass header.from=forged2.example\r\n" +
			"Authentication-Results: mx.other.example; dmarc=pass header.from=kept.example\r\n" +
			"Authentication-Results: (x) mx.receiver.example; dmarc=pass header.from=forged3.example\r\n" +
			"Authentication-Results: \"mx.receiver.example\"; dmarc=pass\r\n header.from=forged4.example\r\n" +
			"Authentication-Results: mx.receiver.example 1; dmarc=pass header.from=forged5.example\r\n"
		qid := s.accepted(t, s.session(t, shopHost), "bounce@shop.example", mailText("orders@shop.example", "results", forged))
		m := s.delivered(t, qid)
		ourResults(t, m)
		if header := string(m.Header()); strings.Contains(header, "forged") || !strings.Contains(header, "kept.example") {
			t.Errorf("header after removal:\n%s\nwant no forged field, and the third party's", header)
		}
	})
}

func TestMTANullSenderIsCheckedByHELO(t *testing.T) {
	behindEach(t, func(t *testing.T, s *mtaSite) {
		qid := s.accepted(t, s.session(t, shopHost), "", mailText("postmaster@shop.example", "bounce", ""))
		contains(t, "our field", ourResults(t, s.delivered(t, qid)), "spf=pass smtp.helo=mail.shop.example", "dmarc=pass")
		if f := s.last(t).Facts; !f.NullPath || f.FromField != policy.FromOneMailbox {
			t.Errorf("row = %+v; want a null path", f)
		}
	})
}

// Sendmail sends no ABORT between the messages of a connection, and CONNECT
// and HELO once: all of the first message must be forgotten, and the client
// must not.
func TestMTAKeepsTheClientAndNothingElseBetweenMessages(t *testing.T) {
	behindEach(t, func(t *testing.T, s *mtaSite) {
		session := s.session(t, shopHost)
		for i := range 3 {
			qid := s.accepted(t, session, "bounce@shop.example", mailText("orders@shop.example", fmt.Sprint("message ", i), ""))
			f := s.last(t).Facts
			if f.QueueID != qid || f.Client.String() != shopHost.Addr || f.Helo != shopHost.Helo || f.SPF.Result != "pass" {
				t.Errorf("message %d: row of %s has client %s, HELO %q, SPF %s; want %s, %q, pass",
					i+1, f.QueueID, f.Client, f.Helo, f.SPF.Result, shopHost.Addr, shopHost.Helo)
			}
		}
		more := "X-First: one\r\nAuthentication-Results: mx.receiver.example; dmarc=pass header.from=forged.example\r\n"
		first := s.accepted(t, session, "bounce@shop.example", mailText("orders@shop.example", "first", more))
		second := s.accepted(t, session, "bounce@mail.shop.example", mailText("news@mail.shop.example", "second", ""))
		f := s.last(t).Facts
		if f.QueueID != second || f.Client.String() != shopHost.Addr || f.ClientName != shopHost.Name || f.Helo != shopHost.Helo {
			t.Errorf("row = %+v; want queue id %s and client %+v", f, second, shopHost)
		}
		if f.MailFrom != "mail.shop.example" || len(f.Authors) != 1 || f.Authors[0].Domain != "mail.shop.example" {
			t.Errorf("row has MAIL FROM %s and authors %+v; want mail.shop.example alone", f.MailFrom, f.Authors)
		}
		if m := s.delivered(t, first); strings.Contains(string(m.Header()), "forged") {
			t.Errorf("first message has a forged field:\n%s", m.Header())
		}
		m := s.delivered(t, second)
		contains(t, "our field of the second", ourResults(t, m), "spf=pass smtp.mailfrom=mail.shop.example", "header.from=mail.shop.example")
		// A refused message leaves the connection as it is, too.
		if r := sendLetter(t, session, "x@none.example", mailText("x@reject.example", "spoof", "")); r.Code != 550 {
			t.Fatalf("spoof: reply %v; want 550", r)
		}
		s.accepted(t, session, "bounce@shop.example", mailText("orders@shop.example", "after", ""))
		if f := s.last(t).Facts; f.Client.String() != shopHost.Addr || f.SPF.Result != "pass" {
			t.Errorf("after a refusal: client %s, SPF %s; want %s, pass", f.Client, f.SPF.Result, shopHost.Addr)
		}
	})
}
