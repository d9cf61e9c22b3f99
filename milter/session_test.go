package milter

import (
	"errors"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dmarcgate/internal/miltertest"
)

func TestHandlerSeesTheWholeMessage(t *testing.T) {
	rec := &recorder{}
	g := start(t, rec, Limits{})
	c := g.dial(t, miltertest.Options{})
	m := mail()
	m.Args = []string{"BODY=8BITMIME", "SMTPUTF8"}
	m.Rcpts = []string{"b@receiver.example", "c@receiver.example"}
	m.Auth = "alice"
	if r := send(t, c, m); r.Action != miltertest.Continue || len(r.Edits) != 0 {
		t.Fatalf("Send() = %+v; want continue without edits", r)
	}
	got := rec.message(t, 0)
	env := *got.env
	if env.Received.IsZero() {
		t.Error("Received is not set")
	}
	env.Received, env.Negotiated = time.Time{}, Negotiated{}
	want := Envelope{
		Listener: "in", Client: m.Client, ClientName: m.ClientName, Helo: m.Helo, MailFrom: m.From, MailArgs: m.Args,
		Rcpts: m.Rcpts, QueueID: "4XYZ", Daemon: "smtpd", AuthType: "PLAIN", Authenticated: "alice", MTAName: "mx.receiver.example",
	}
	if !reflect.DeepEqual(env, want) {
		t.Errorf("envelope = %+v; want %+v", env, want)
	}
	if want := []string{"From: a@sender.example\r\n", "Subject:  two\r\n\tfolded\r\n"}; !reflect.DeepEqual(got.header, want) {
		t.Errorf("header = %q; want %q", got.header, want)
	}
	if got.body.String() != "hello\r\n" {
		t.Errorf("body = %q", got.body.String())
	}
	g.wantCount(t, 1, "milter_message_bytes", "in")
	g.wantCount(t, 1, "milter_eom_duration_seconds", "in")
	g.wantCount(t, 0, "milter_messages_in_flight", "in")
	g.wantCount(t, 0, "milter_messages_total", "aborted")
}

func TestEnvelopeKeepsOnlyClientForSecondMessage(t *testing.T) {
	for name, opts := range map[string]miltertest.Options{"Postfix": {}, "Sendmail": {Sendmail: true}} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{answer: func(*seen) Answer { return Answer{Reply: Refuse(550, "5.7.1", "no")} }}
			c := start(t, rec, Limits{}).dial(t, opts)
			first := mail()
			first.Client, first.Auth = netip.MustParseAddr("2001:db8::1"), "alice"
			send(t, c, first)
			second := first
			second.From, second.Rcpts, second.QueueID, second.Auth = "", []string{"z@receiver.example"}, "", ""
			second.Message = []byte("Subject: other\n\nbye\n")
			send(t, c, second)
			got := rec.message(t, 1)
			if got.env.Client != first.Client || got.env.Helo != first.Helo || got.env.Daemon != "smtpd" {
				t.Errorf("the client of the second message is %v %q %q", got.env.Client, got.env.Helo, got.env.Daemon)
			}
			if got.env.MailFrom != "" || !reflect.DeepEqual(got.env.Rcpts, second.Rcpts) || got.env.QueueID != "" || got.env.Authenticated != "" {
				t.Errorf("envelope = %+v; want nothing of the first message", got.env)
			}
			if len(got.header) != 1 || got.body.String() != "bye\r\n" {
				t.Errorf("content = %q %q; want nothing of the first message", got.header, got.body.String())
			}
		})
	}
}

func TestEnvelopeQueueIDMayComeLate(t *testing.T) {
	rec := &recorder{}
	rec.answer = func(m *seen) Answer { return Answer{Reply: Refuse(450, "", "qid "+m.env.QueueID)} }
	var atStart string
	rec.start = func(m *seen) { atStart = m.env.QueueID }
	c := start(t, rec, Limits{}).dial(t, miltertest.Options{})
	ok(t)(c.Mail("a@b.example"))
	ok(t)(c.EndOfHeader())
	must(t, c.Macros('E', "i", "LATE"))
	r, err := c.EndOfMessage()
	must(t, err)
	if atStart != "" || r.Text != "qid LATE" {
		t.Errorf("queue id at start %q, reply %q; want none, then LATE", atStart, r.Text)
	}
}

func TestEnvelopeClientAddress(t *testing.T) {
	tests := []struct {
		name, connect, macro string
		addr, client         string
	}{
		{"IPv4", "out.example\x004\x9c\x40192.0.2.1\x00", "", "192.0.2.1", "out.example"},
		{"a name that is an address is none", "[192.0.2.1]\x004\x9c\x40192.0.2.1\x00", "", "192.0.2.1", ""},
		{"IPv6 as Postfix writes it", "x\x006\x9c\x402001:db8::1\x00", "", "2001:db8::1", "x"},
		{"IPv6 as Sendmail writes it", "x\x006\x9c\x40IPv6:2001:db8::1\x00", "", "2001:db8::1", "x"},
		{"IPv4 within IPv6 is IPv4", "x\x006\x9c\x40::ffff:192.0.2.1\x00", "", "192.0.2.1", "x"},
		{"a zone is no part of it", "x\x006\x9c\x40fe80::1%eth0\x00", "", "fe80::1", "x"},
		{"a unix client has none", "localhost\x00L\x00\x00/run/s\x00", "192.0.2.9", "invalid IP", "localhost"},
		{"an unknown client has none", "x\x00U", "", "invalid IP", "x"},
		{"the macro helps out", "x\x00U", "IPv6:2001:db8::2", "2001:db8::2", "x"},
		{"CONNECT goes before the macro", "x\x004\x9c\x40192.0.2.1\x00", "192.0.2.9", "192.0.2.1", "x"},
		{"what is no address is none", "x\x004\x9c\x40mail.example\x00", "", "invalid IP", "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := &recorder{}
			c := start(t, rec, Limits{}).dial(t, miltertest.Options{})
			must(t, c.Macros('C', "{client_addr}", tt.macro))
			ok(t)(c.Event('C', []byte(tt.connect)))
			ok(t)(c.Mail("a@b.example"))
			ok(t)(c.EndOfHeader())
			env := rec.message(t, 0).env
			if env.Client.String() != tt.addr || env.ClientName != tt.client {
				t.Errorf("client = %v %q; want %v %q", env.Client, env.ClientName, tt.addr, tt.client)
			}
		})
	}
}

func TestEnvelopeAddressesLoseOnePairOfBrackets(t *testing.T) {
	for in, want := range map[string]string{"<a@b>": "a@b", "<>": "", "a@b": "a@b", "<<a@b>>": "<a@b>", `<"<x>"@b>`: `"<x>"@b`, "<": "<", "<a@b": "<a@b"} {
		if got := unbracket(in); got != want {
			t.Errorf("unbracket(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestEnvelopeFollowsTheSMTPSession(t *testing.T) {
	rec := &recorder{}
	c := start(t, rec, Limits{}).dial(t, miltertest.Options{})
	ok(t)(c.Connect("one.example", netip.MustParseAddr("192.0.2.1"), 1))
	ok(t)(c.Helo("first"))
	ok(t)(c.Helo("second"))
	ok(t)(c.Mail("a@b.example"))
	ok(t)(c.Rcpt("lost@receiver.example"))
	ok(t)(c.Mail("c@d.example")) // without ABORT, as Sendmail does
	must(t, c.Macros('R', "{rcpt_mailer}", "error"))
	ok(t)(c.Rcpt("refused@receiver.example"))
	must(t, c.Macros('R', "{rcpt_mailer}", "local"))
	ok(t)(c.Rcpt("kept@receiver.example"))
	ok(t)(c.EndOfHeader())
	env := rec.message(t, 0).env
	if env.Helo != "second" || env.MailFrom != "c@d.example" || !reflect.DeepEqual(env.Rcpts, []string{"kept@receiver.example"}) {
		t.Errorf("envelope = %+v; want second, c@d.example and kept@ only", env)
	}
	must(t, c.QuitNewConnection())
	ok(t)(c.Mail("e@f.example"))
	ok(t)(c.EndOfHeader())
	if env := rec.message(t, 1).env; env.Client.IsValid() || env.ClientName != "" || env.Helo != "" {
		t.Errorf("after QUIT_NC the client is %v %q %q; want none", env.Client, env.ClientName, env.Helo)
	}
}

func TestEnvelopeTLSIsOfTheClient(t *testing.T) {
	type client = miltertest.Client
	hello := func(version ...string) func(*client) {
		return func(c *client) {
			must(t, c.Macros('H', append([]string{"j", "mx.receiver.example"}, version...)...))
			ok(t)(c.Helo("x"))
		}
	}
	mailWith := func(version ...string) func(*client) {
		return func(c *client) {
			must(t, c.Macros('M', append([]string{"{mail_addr}", "a@b.example"}, version...)...))
			ok(t)(c.Mail("a@b.example"))
			ok(t)(c.EndOfHeader())
		}
	}
	connect := func(c *client) {
		must(t, c.Macros('C', "j", "mx.receiver.example"))
		ok(t)(c.Connect("x", netip.MustParseAddr("192.0.2.1"), 1))
	}
	plain, tls := hello(), hello("{tls_version}", "TLSv1.3")
	abort := func(c *client) { must(t, c.Abort()) }
	quit := func(c *client) { must(t, c.QuitNewConnection()) }
	tests := []struct {
		name  string
		steps []func(*client)
		want  string // of the last message
	}{
		{"none", []func(*client){connect, plain, mailWith()}, ""},
		{"from the first HELO on", []func(*client){connect, tls, mailWith()}, "TLSv1.3"},
		{"STARTTLS after the first HELO", []func(*client){connect, plain, abort, tls, abort, mailWith()}, "TLSv1.3"},
		{"STARTTLS without another HELO", []func(*client){connect, plain, mailWith("{tls_version}", "TLSv1.2")}, "TLSv1.2"},
		{"what is said at MAIL is for that message", []func(*client){connect, plain, mailWith("{tls_version}", "TLSv1.2"), mailWith()}, ""},
		{"the second message", []func(*client){connect, tls, mailWith(), abort, mailWith()}, "TLSv1.3"},
		{"a HELO without it takes it back", []func(*client){connect, tls, mailWith(), abort, plain, mailWith()}, ""},
		{"an empty value is none", []func(*client){connect, hello("{tls_version}", ""), mailWith()}, ""},
		{"another client on the same connection", []func(*client){connect, tls, mailWith(), quit, connect, mailWith()}, ""},
		{"another client without a word between", []func(*client){connect, tls, mailWith(), connect, mailWith()}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := &recorder{}
			c := start(t, rec, Limits{}).dial(t, miltertest.Options{})
			for _, step := range tt.steps {
				step(c)
			}
			rec.mu.Lock()
			defer rec.mu.Unlock()
			if got := rec.msgs[len(rec.msgs)-1].env.TLS; got != tt.want {
				t.Errorf("TLS = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestSessionCancelsMessageAfterAbort(t *testing.T) {
	rec := &recorder{}
	g := start(t, rec, Limits{})
	c := g.dial(t, miltertest.Options{})
	ok(t)(c.Mail("a@b.example"))
	ok(t)(c.EndOfHeader())
	must(t, c.Abort())
	must(t, c.Flush())
	<-rec.message(t, 0).ctx.Done()
	send(t, c, mail())
	<-rec.message(t, 1).ctx.Done()
	g.wantCount(t, 1, "milter_messages_total", "aborted")
	g.wantCount(t, 0, "milter_messages_in_flight")
}

func TestSessionCancelsMessageWhenMTAVanishes(t *testing.T) {
	rec := &recorder{}
	g := start(t, rec, Limits{})
	c := g.dial(t, miltertest.Options{})
	ok(t)(c.Mail("a@b.example"))
	ok(t)(c.EndOfHeader())
	must(t, c.Close())
	<-rec.message(t, 0).ctx.Done()
}

func TestSessionAnswersEachEventOnce(t *testing.T) {
	for name, protocol := range map[string]uint32{
		"all that Postfix offers": 0x1fffff,
		"nothing":                 0,
		"no reply for UNKNOWN and DATA, which are sent": miltertest.NoUnknownReply | miltertest.NoDataReply,
	} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{}
			c := start(t, rec, Limits{}).dial(t, miltertest.Options{Offer: miltertest.Offer{Version: 6, Actions: 0x1ff, Protocol: protocol}})
			ok(t)(c.Connect("x", netip.MustParseAddr("192.0.2.1"), 1))
			ok(t)(c.Helo("x"))
			ok(t)(c.Unknown("NONSENSE"))
			ok(t)(c.Mail("a@b.example"))
			ok(t)(c.Rcpt("c@d.example"))
			ok(t)(c.Data())
			ok(t)(c.Field("Subject", " x"))
			ok(t)(c.EndOfHeader())
			ok(t)(c.Body([]byte("x\r\n")))
			r, err := c.EndOfMessage()
			ok(t)(r.Reply, err)
			must(t, c.WriteFrame('Q', nil))
			closedByFilter(t, c) // no stray answer is left
		})
	}
}

func TestSessionAcceptsBodyChunkInEndOfMessage(t *testing.T) {
	rec := &recorder{}
	c := start(t, rec, Limits{}).dial(t, miltertest.Options{})
	ok(t)(c.Mail("a@b.example"))
	ok(t)(c.EndOfHeader())
	ok(t)(c.Event('E', []byte("last\r\n")))
	if got := rec.message(t, 0).body.String(); got != "last\r\n" {
		t.Errorf("body = %q; want the data of the last frame", got)
	}
}

func TestSessionSkipsRestOfBody(t *testing.T) {
	m := mail()
	m.Message = append(m.Message, strings.Repeat("0123456789abcde\r\n", 20000)...)
	for name, protocol := range map[string]uint32{"offered": 0x1fffff, "not offered": 0x1fffff &^ miltertest.CanSkip} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{skip: true}
			c := start(t, rec, Limits{}).dial(t, miltertest.Options{Offer: miltertest.Offer{Version: 6, Actions: 0x1ff, Protocol: protocol}})
			r := send(t, c, m)
			if want := protocol&miltertest.CanSkip != 0; r.Skipped != want {
				t.Errorf("Skipped = %v; want %v", r.Skipped, want)
			}
			if n := rec.message(t, 0).writes; n != 1 {
				t.Errorf("%d writes; want 1", n)
			}
		})
	}
}

func TestSessionSurvivesPanic(t *testing.T) {
	boom := func(*seen) { panic("boom") }
	tests := []struct {
		name, stage string
		rec         *recorder
	}{
		{"in Start", "eoh", &recorder{start: boom}},
		{"in Write", "body", &recorder{write: boom}},
		{"in Finish", "eom", &recorder{answer: func(*seen) Answer { panic("boom") }}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := start(t, tt.rec, Limits{})
			c := g.dial(t, miltertest.Options{})
			r := send(t, c, mail())
			if r.Stage != 'E' || r.Code != 451 || r.Enhanced != "4.3.0" {
				t.Fatalf("Send() = %+v; want 451 4.3.0 at end of message", r)
			}
			ctx := tt.rec.message(t, 0).ctx
			tt.rec.start, tt.rec.write, tt.rec.answer = nil, nil, nil
			if r := send(t, c, mail()); r.Action != miltertest.Continue {
				t.Errorf("the next message: %+v; want continue", r)
			}
			<-ctx.Done()
			g.wantCount(t, 1, "milter_errors_total", tt.stage, "panic")
			g.wantCount(t, 0, "milter_messages_in_flight")
			if log := g.log.String(); !strings.Contains(log, "boom") || !strings.Contains(log, "session_test.go") {
				t.Errorf("the log lacks the panic and its stack:\n%s", log)
			}
		})
	}
}

func TestSentIsCalledOnce(t *testing.T) {
	sent := make(chan error, 9)
	rec := &recorder{answer: func(*seen) Answer { return Answer{Sent: func(err error) { sent <- err }} }}
	c := start(t, rec, Limits{}).dial(t, miltertest.Options{})
	send(t, c, mail())
	must(t, c.Quit())
	if err := <-sent; err != nil {
		t.Errorf("Sent(%v); want nil", err)
	}
	if len(sent) != 0 {
		t.Error("Sent is called again")
	}
}

func TestSentReportsWriteError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan error, 9)
		rec := &recorder{answer: func(*seen) Answer { return Answer{Sent: func(err error) { sent <- err; panic("in Sent") }} }}
		g, c := pipe(t, rec, Limits{})
		ok(t)(c.Mail("a@b.example"))
		ok(t)(c.EndOfHeader())
		must(t, c.WriteFrame('E', nil))
		must(t, c.Flush())
		began := time.Now()
		if err := <-sent; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != DefaultLimits().WriteTimeout {
			t.Errorf("Sent(%v) after %v; want a timeout after %v", err, time.Since(began), DefaultLimits().WriteTimeout)
		}
		closedByFilter(t, c)
		synctest.Wait()
		g.wantCount(t, 1, "milter_errors_total", "eom", "timeout")
		g.wantCount(t, 1, "milter_errors_total", "eom", "panic")
		g.wantCount(t, 0, "milter_eom_duration_seconds")
		if len(sent) != 0 {
			t.Error("Sent is called again")
		}
	})
}

func TestSessionAnswersAfterBodyWriteError(t *testing.T) {
	h := handlerFunc(func() Message { return badWriter{} })
	g := start(t, h, Limits{})
	r := send(t, g.dial(t, miltertest.Options{}), mail())
	if r.Code != 550 || !r.Skipped {
		t.Errorf("Send() = %+v; want the handler's 550, and the body skipped", r)
	}
}

type badWriter struct{}

func (badWriter) Write([]byte) (int, error) { return 0, errors.New("full") }
func (badWriter) Finish() Answer            { return Answer{Reply: Refuse(550, "5.7.1", "no")} }
