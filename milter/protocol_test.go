package milter

import (
	"context"
	"encoding/binary"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	gomilter "github.com/emersion/go-milter"

	"dmarcgate/internal/miltertest"
)

type handlerFunc func() Message

func (f handlerFunc) Start(context.Context, *Envelope, [][]byte) Message { return f() }
func (f handlerFunc) Overflow(*Envelope, [][]byte) Overflow              { return &overflown{} }

func TestNegotiationUsesOnlyOfferedActions(t *testing.T) {
	const protocol = uint32(wantedProtocol)
	tests := []struct {
		name        string
		offer, want miltertest.Offer
		symlists    int
	}{
		{"Postfix and Sendmail", miltertest.PostfixOffer(), miltertest.Offer{Version: 6, Actions: 0x131, Protocol: protocol}, 7},
		{"a newer version", miltertest.Offer{Version: 7, Actions: 0xffffffff, Protocol: 0xffffffff}, miltertest.Offer{Version: 6, Actions: 0x131, Protocol: protocol}, 7},
		{"no macro lists", miltertest.Offer{Version: 6, Actions: 0xff, Protocol: 0x1fffff}, miltertest.Offer{Version: 6, Actions: 0x31, Protocol: protocol}, 0},
		{"macro lists before version 6", miltertest.Offer{Version: 4, Actions: 0x1ff, Protocol: 0xff}, miltertest.Offer{Version: 4, Actions: 0x31, Protocol: miltertest.NoHeaderReply}, 0},
		{"version 2", miltertest.Offer{Version: 2, Actions: 0x3f, Protocol: 0x7f}, miltertest.Offer{Version: 2, Actions: 0x31}, 0},
		{"nothing", miltertest.Offer{Version: 6}, miltertest.Offer{Version: 6}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := &recorder{}
			g := start(t, rec, Limits{})
			c := g.dial(t, miltertest.Options{Offer: tt.offer})
			if got := c.Agreed(); got.Offer != tt.want || len(got.SymLists) != tt.symlists {
				t.Errorf("agreed %+v with %d lists; want %+v with %d", got.Offer, len(got.SymLists), tt.want, tt.symlists)
			}
			send(t, c, mail())
			got := rec.message(t, 0).env.Negotiated
			if want := (Negotiated{tt.want.Version, gomilter.OptAction(tt.want.Actions), gomilter.OptProtocol(tt.want.Protocol)}); got != want {
				t.Errorf("Envelope.Negotiated = %+v; want %+v", got, want)
			}
		})
	}
}

func TestNegotiationRequestsMacrosOfEveryStage(t *testing.T) {
	c := start(t, &recorder{}, Limits{}).dial(t, miltertest.Options{})
	got := c.Agreed().SymLists
	want := map[uint32]string{
		0: "j {daemon_name} {client_addr}", 1: "j {tls_version}", 2: "i {auth_type} {auth_authen} {tls_version}", 3: "i {rcpt_mailer}", 4: "i", 5: "i", 6: "i",
	}
	if !maps.Equal(got, want) {
		t.Errorf("macro lists = %v; want %v", got, want)
	}
}

func TestNegotiationRefusesOffers(t *testing.T) {
	offer := func(version uint32) []byte {
		return appendFrame(nil, 'O', append(binary.BigEndian.AppendUint32(nil, version), make([]byte, 8)...))
	}
	for name, frame := range map[string][]byte{
		"version 1":          offer(1),
		"version 0":          offer(0),
		"a short offer":      appendFrame(nil, 'O', []byte("\x00\x00\x00\x06")),
		"no offer":           appendFrame(nil, 'H', []byte("x\x00")),
		"an enormous offer":  {0x7f, 0xff, 0xff, 0xff, 'O'},
		"a second offer":     append(append(offer(6), offer(6)...), 0),
		"a frame of 0 bytes": {0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, &recorder{}, Limits{})
			c := rawClient(t, g)
			_, _ = c.Write(frame) // the filter may hang up meanwhile
			if code, _, err := c.ReadFrame(); err == nil && code == 'O' && name == "a second offer" {
				closedByFilter(t, c)
			} else if err == nil {
				t.Errorf("answer %q; want the filter to hang up", code)
			}
			g.wantCount(t, 1, "milter_errors_total", "negotiate", "protocol")
		})
	}
}

func rawClient(t *testing.T, g *gate) *miltertest.Client {
	t.Helper()
	network, addr, _ := strings.Cut(g.address, ":")
	conn, err := net.Dial(network, addr)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return miltertest.Raw(conn, miltertest.Options{})
}

func TestSessionKeepsHeaderFieldsAsSigned(t *testing.T) {
	tests := []struct {
		name, field, value string
		space, nospace     string // with and without LEADSPC
	}{
		{"one space", "Subject", " x", "Subject: x\r\n", "Subject: x\r\n"},
		{"no space is a space when the MTA hides it", "Subject", "x", "Subject:x\r\n", "Subject: x\r\n"},
		{"two spaces", "Subject", "  x", "Subject:  x\r\n", "Subject:  x\r\n"},
		{"folds", "Subject", " a\n b\n\tc", "Subject: a\r\n b\r\n\tc\r\n", "Subject: a\r\n b\r\n\tc\r\n"},
		{"folds that are CRLF already", "Subject", " a\r\n b", "Subject: a\r\n b\r\n", "Subject: a\r\n b\r\n"},
		{"empty", "Subject", "", "Subject:\r\n", "Subject: \r\n"},
		{"a trailing line end", "Subject", " a\n", "Subject: a\r\n", "Subject: a\r\n"},
		{"a line that would be a field", "Subject", " a\nBcc: b", "Subject: a\r\n Bcc: b\r\n", "Subject: a\r\n Bcc: b\r\n"},
		{"an odd name", "From ", " a", "From : a\r\n", "From : a\r\n"},
	}
	for _, tt := range tests {
		for protocol, want := range map[uint32]string{0x1fffff: tt.space, 0xfffff: tt.nospace} {
			t.Run(tt.name, func(t *testing.T) {
				rec := &recorder{}
				c := start(t, rec, Limits{}).dial(t, miltertest.Options{Offer: miltertest.Offer{Version: 6, Actions: 0x1ff, Protocol: protocol}})
				ok(t)(c.Mail("a@b.example"))
				ok(t)(c.Field(tt.field, tt.value))
				ok(t)(c.Field("Next", " y"))
				ok(t)(c.EndOfHeader())
				if got := rec.message(t, 0).header; !reflect.DeepEqual(got, []string{want, "Next: y\r\n"}) {
					t.Errorf("protocol %#x: header = %q; want %q", protocol, got, want)
				}
			})
		}
	}
}

func TestSessionSendsEdits(t *testing.T) {
	edits := []Edit{
		DeleteField("authentication-results", 3), DeleteField("Authentication-Results", 1),
		InsertField("Authentication-Results", " mx.receiver.example;\r\n dmarc=fail"),
		InsertField("X-Second", "no space"), Hold("100% suspicious"),
	}
	m := mail()
	m.Message = []byte("Authentication-Results: one\nFrom: a@b\nAuthentication-Results: two\nAuthentication-Results: three\n\nbody\n")
	want := lines("X-Second: no space", "Authentication-Results: mx.receiver.example;", " dmarc=fail", "From: a@b", "Authentication-Results: two", "", "body", "")
	for name, protocol := range map[string]uint32{"spaces are kept": 0x1fffff, "the MTA adds a space": 0xfffff} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{answer: func(*seen) Answer { return Answer{Edits: edits} }}
			c := start(t, rec, Limits{}).dial(t, miltertest.Options{Offer: miltertest.Offer{Version: 6, Actions: 0x1ff, Protocol: protocol}})
			r := send(t, c, m)
			if got := string(miltertest.Apply(m.Message, r)); got != want {
				t.Errorf("the message is\n%s\nwant\n%s", got, want)
			}
			if reason, held := r.Quarantined(); !held || reason != "100% suspicious" {
				t.Errorf("Quarantined() = %q, %v", reason, held)
			}
			if r.Action != miltertest.Continue {
				t.Errorf("final answer = %v; want continue", r.Action)
			}
		})
	}
}

func TestSessionDropsUnnegotiatedEdits(t *testing.T) {
	rec := &recorder{answer: func(*seen) Answer {
		return Answer{Edits: []Edit{Hold("x"), DeleteField("A", 1), InsertField("B", " b"), {}}}
	}}
	g := start(t, rec, Limits{})
	r := send(t, g.dial(t, miltertest.Options{Offer: miltertest.Offer{Version: 6, Actions: miltertest.AddHeader, Protocol: 0x1fffff}}), mail())
	if len(r.Edits) != 1 || r.Edits[0].Op != miltertest.OpInsert || r.Action != miltertest.Continue {
		t.Errorf("Send() = %+v; want continue and the insertion alone", r)
	}
	g.wantCount(t, 2, "milter_errors_total", "eom", "protocol")
	if log := g.log.String(); !strings.Contains(log, "hold x") || !strings.Contains(log, "delete A 1") {
		t.Errorf("the log does not say what was dropped:\n%s", log)
	}
}

func TestSessionSendsNoEditsWithRefusal(t *testing.T) {
	rec := &recorder{answer: func(*seen) Answer {
		return Answer{Reply: Refuse(550, "5.7.1", "100% no\nreally"), Edits: []Edit{Hold("x")}}
	}}
	r := send(t, start(t, rec, Limits{}).dial(t, miltertest.Options{}), mail())
	want := miltertest.Reply{Action: miltertest.ReplyCode, Code: 550, Enhanced: "5.7.1", Text: "100% no\nreally"}
	if r.Reply != want || len(r.Edits) != 0 {
		t.Errorf("Send() = %+v; want %+v without edits", r, want)
	}
}

func TestSessionSendsAnswerInOneWrite(t *testing.T) {
	rec := &recorder{answer: func(*seen) Answer {
		return Answer{Edits: []Edit{InsertField("A", strings.Repeat(" long\n", 2000)), InsertField("B", " b"), Hold("x")}}
	}}
	g := newGate(rec, Limits{})
	ours, theirs := net.Pipe()
	counter := &countingConn{Conn: ours}
	g.serve(t, &fakeListener{conns: []net.Conn{counter}, closed: make(chan struct{})})
	c, err := miltertest.New(theirs, miltertest.Options{})
	must(t, err)
	ok(t)(c.Mail("a@b.example"))
	ok(t)(c.EndOfHeader())
	before := counter.writes
	r, err := c.EndOfMessage()
	must(t, err)
	must(t, c.Quit())
	if len(r.Edits) != 3 || before != 3 || counter.writes != before+1 {
		t.Errorf("%d edits in %d writes after %d; want 3 in 1 after 3", len(r.Edits), counter.writes-before, before)
	}
}

type countingConn struct {
	net.Conn
	writes int
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

func TestSessionEndsAfterHostileFrames(t *testing.T) {
	tests := []struct {
		name, stage string
		inMessage   bool
		bytes       string
	}{
		{"no command", "mail", true, "\x00\x00\x00\x00"},
		{"4 GiB of body", "mail", true, "\xff\xff\xff\xffB"},
		{"a long body frame", "mail", true, "\x00\x02\x00\x01B"},
		{"a long MAIL", "negotiate", false, "\x00\x00\x20\x01M"},
		{"an unknown code", "other", true, "\x00\x00\x00\x01\x07"},
		{"a field without a value", "header", true, "\x00\x00\x00\x03LA\x00"},
		{"a NUL in a value", "header", true, "\x00\x00\x00\x07LA\x00B\x00C\x00"},
		{"a field of no strings", "header", true, "\x00\x00\x00\x01L"},
		{"CONNECT of nothing", "connect", false, "\x00\x00\x00\x01C"},
		{"CONNECT without a port", "connect", false, "\x00\x00\x00\x04Cx\x004"},
		{"CONNECT without an end", "connect", false, "\x00\x00\x00\x0dCx\x004\x00\x19192.0.2"},
		{"CONNECT of a strange family", "connect", false, "\x00\x00\x00\x07Cx\x009\x00\x19\x00"},
		{"MAIL without an address", "mail", false, "\x00\x00\x00\x01M"},
		{"RCPT without an address", "rcpt", true, "\x00\x00\x00\x02R\x00"},
		{"a field without MAIL", "header", false, "\x00\x00\x00\x05LA\x00B\x00"},
		{"end of header without MAIL", "eoh", false, "\x00\x00\x00\x01N"},
		{"body without MAIL", "body", false, "\x00\x00\x00\x02Bx"},
		{"end of message without MAIL", "eom", false, "\x00\x00\x00\x01E"},
		{"RCPT without MAIL", "rcpt", false, "\x00\x00\x00\x05Ra@b\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := start(t, &recorder{}, Limits{})
			c := g.dial(t, miltertest.Options{})
			if tt.inMessage {
				ok(t)(c.Mail("a@b.example"))
			}
			_, err := c.Write([]byte(tt.bytes))
			must(t, err)
			closedByFilter(t, c)
			g.wantCount(t, 1, "milter_errors_total", tt.stage, "protocol")
		})
	}
}

func TestSessionMemoryFollowsReceivedBytes(t *testing.T) {
	g := start(t, &recorder{}, Limits{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const conns = 50
	for range conns {
		c := g.dial(t, miltertest.Options{})
		ok(t)(c.Mail("a@b.example"))
		_, err := c.Write([]byte("\x00\x01\xff\xffB some bytes"))
		must(t, err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc-before.TotalAlloc) / conns; grown > 64<<10 {
		t.Errorf("%d bytes for a connection that announced 128 KiB and sent few; want below 64 KiB", grown)
	}
}

// A chunk that is longer than what is read at once comes to the handler in
// parts, has one answer, and fails like any other when it is cut short.
func TestSessionStreamsLargeBodyChunk(t *testing.T) {
	first := make(chan struct{})
	var once sync.Once
	rec := &recorder{write: func(*seen) { once.Do(func() { close(first) }) }}
	g := start(t, rec, Limits{})
	c := g.dial(t, miltertest.Options{})
	chunk := strings.Repeat("0123456789abcdef", 4095)
	for range 2 {
		ok(t)(c.Mail("a@b.example"))
		_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(chunk)+1)), "B"+chunk[:9]...))
		must(t, err)
		<-first // with most of it still to come
		_, err = c.Write([]byte(chunk[9:]))
		must(t, err)
		if code, _, err := c.ReadFrame(); err != nil || code != 'c' {
			t.Fatalf("answer to the chunk = %q, %v; want continue", code, err)
		}
		if res, err := c.EndOfMessage(); err != nil || res.Action != miltertest.Continue {
			t.Fatalf("answer to the message = %v, %v; want continue", res, err)
		}
	}
	for i := range 2 {
		if got := rec.message(t, i).body.String(); got != chunk {
			t.Errorf("message %d: body of %d bytes; want the %d that were sent", i, len(got), len(chunk))
		}
	}
	ok(t)(c.Mail("a@b.example"))
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(chunk)+1)), "B"+chunk[:9]...))
	must(t, err)
	c.Close()
	g.wantCount(t, 1, "milter_errors_total", "body", "io")
}

func TestLimitsMarkTruncatedHeader(t *testing.T) {
	for name, limits := range map[string]Limits{"fields": {HeaderFields: 2}, "bytes": {HeaderBytes: 20}} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{}
			c := start(t, rec, limits).dial(t, miltertest.Options{})
			m := mail()
			m.Message = []byte("A: 1234\nB: 1234\nCccccccccccccccccccc: 1\nD: 2\n x\n\n")
			send(t, c, m)
			got := rec.message(t, 0)
			if !got.env.HeaderTruncated || !reflect.DeepEqual(got.header, []string{"A: 1234\r\n", "B: 1234\r\n"}) {
				t.Errorf("header = %q, HeaderTruncated = %v; want A and B, true", got.header, got.env.HeaderTruncated)
			}
			beyond, _ := got.env.Overflow.(*overflown)
			if want := []string{"Cccccccccccccccccccc: 1\r\n", "D: 2\r\n x\r\n"}; beyond == nil || !reflect.DeepEqual(beyond.fields, want) || rec.overflows != 1 {
				t.Errorf("beyond the limits = %+v in %d calls of Overflow; want %q in one", beyond, rec.overflows, want)
			}
			m.Message = []byte("A: 1\n\n")
			send(t, c, m)
			if got := rec.message(t, 1); got.env.HeaderTruncated || got.env.Overflow != nil || rec.overflows != 1 {
				t.Error("the next message is marked too")
			}
		})
	}
}

// A file goes through the same limits as what an MTA sends.
func TestTakeMatchesSession(t *testing.T) {
	fields := []string{"A: 1234\r\n", "B:1\r\n\t2\r\n", "C: \r\n", "D: 5678\r\n", "E: 9\r\n"}
	for limit := 1; limit <= 45; limit++ {
		for _, limits := range []Limits{{HeaderFields: limit}, {HeaderBytes: limit}} {
			rec := &recorder{}
			c := start(t, rec, limits).dial(t, miltertest.Options{})
			m := mail()
			m.Message = []byte(strings.Join(fields, "") + "\r\n")
			send(t, c, m)
			want := rec.message(t, 0)
			raw := make([][]byte, len(fields))
			for i, f := range fields {
				raw[i] = []byte(f)
			}
			var env Envelope
			var got []string
			for _, f := range limits.Take(rec, &env, raw) {
				got = append(got, string(f))
			}
			if !reflect.DeepEqual(got, want.header) || env.HeaderTruncated != want.env.HeaderTruncated || !reflect.DeepEqual(env.Overflow, want.env.Overflow) {
				t.Errorf("%+v: Take() = %q, %+v; want %q, %+v", limits, got, env.Overflow, want.header, want.env.Overflow)
			}
		}
	}
}

func TestOverflowPanicFailsOneMessage(t *testing.T) {
	rec := &recorder{overflow: func(*Envelope, [][]byte) { panic("planted") }}
	c := start(t, rec, Limits{HeaderFields: 1}).dial(t, miltertest.Options{})
	m := mail()
	m.Message = []byte("A: 1\nB: 2\nC: 3\n\nbody\n")
	if r := send(t, c, m); r.Code != 451 || rec.overflows != 1 {
		t.Errorf("reply = %+v after %d calls; want 451 after one", r, rec.overflows)
	}
	m.Message = []byte("A: 1\n\nbody\n")
	if r := send(t, c, m); r.Action != miltertest.Continue {
		t.Errorf("reply to the next message = %+v; want continue", r)
	}
}

func TestLimitsMarkTruncatedRecipients(t *testing.T) {
	rec := &recorder{}
	c := start(t, rec, Limits{Recipients: 1}).dial(t, miltertest.Options{})
	m := mail()
	m.Rcpts = []string{"a@receiver.example", "b@receiver.example"}
	send(t, c, m)
	if env := rec.message(t, 0).env; !env.RcptsTruncated || !reflect.DeepEqual(env.Rcpts, m.Rcpts[:1]) {
		t.Errorf("recipients %q, RcptsTruncated = %v; want the first, true", env.Rcpts, env.RcptsTruncated)
	}
}

func TestSessionKeepsMacrosByStage(t *testing.T) {
	var m macros
	set := func(cmd string, kv ...string) { m.set([]byte(cmd + strings.Join(kv, "\x00") + "\x00")) }
	set("C", "{j}", "mx", "{daemon_name}", "smtpd")
	set("M", "{auth_authen}", "alice")
	set("T", "i", "Q1", "unwanted", "x")
	set("L", "i")
	set("X", "i", "no such stage")
	m.set(nil)
	if got := [...]string{m.get(macroMTAName), m.get(macroDaemon), m.get(macroAuthen), m.get(macroQueueID)}; got != [...]string{"mx", "smtpd", "alice", "Q1"} {
		t.Errorf("macros = %q", got)
	}
	set("C", "j", "mx2")
	if got := m.get(macroDaemon); got != "" {
		t.Errorf("a new packet for CONNECT leaves {daemon_name} = %q", got)
	}
	m.beginMessage()
	if got := m.get(macroQueueID); got != "" || m.get(macroAuthen) != "alice" {
		t.Errorf("at MAIL i = %q, {auth_authen} = %q; want none, alice", got, m.get(macroAuthen))
	}
	m.endMessage()
	if m.get(macroAuthen) != "" || m.get(macroMTAName) != "mx2" {
		t.Error("the end of a message forgets its macros and no others")
	}
}

// FuzzSession feeds frames, or any bytes, to a server connection. Whatever
// comes, it answers in well-formed frames, hands over fields that are fields,
// holds no more than its limits, and ends.
func FuzzSession(f *testing.F) {
	var whole string
	for _, frame := range []string{
		"DCj\x00mx\x00", "Cx\x004\x00\x19192.0.2.1\x00", "Hx\x00", "M<a@b>\x00SMTPUTF8\x00", "R<c@d>\x00", "T", "DLi\x00Q\x00", "LA\x00 b\n c\x00",
		"LA\x00 b\nB: c\x00", "N", "Bx\r\n", "E", "A", "Ux\x00", "K", "M<>\x00", "By", "Ez", "M<>\x00", "M<>\x00", "N", "A", "Q",
	} {
		whole += string([]byte{byte(len(frame) - 1)}) + frame
	}
	f.Add([]byte(whole), uint32(0x1ff), uint32(0x1fffff), true)
	f.Add([]byte(whole), uint32(0), uint32(0), true)
	f.Add(framed([]byte(whole)), uint32(0x1ff), uint32(0x1fffff), false)
	f.Add([]byte("\xff\xff\xff\xffL"), uint32(1), uint32(1), false)
	f.Add([]byte("\x00\x00\x00\x00"), uint32(1), uint32(1), false)
	f.Fuzz(func(t *testing.T, stream []byte, actions, protocol uint32, frames bool) {
		if frames {
			stream = framed(stream)
		}
		g := newGate(fieldChecker{t}, Limits{FrameBytes: 4096, HeaderBytes: 4096})
		g.Progress = time.Microsecond
		ours, theirs := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- g.Serve(&fakeListener{conns: []net.Conn{ours}, closed: make(chan struct{})}) }()
		go func() {
			offer := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 6}, actions), protocol)
			_, _ = theirs.Write(appendFrame(nil, 'O', offer)) // the server hangs up when it has enough
			_, _ = theirs.Write(stream)
			_ = theirs.Close()
		}()
		readAnswers(t, theirs)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = g.Shutdown(ctx) // the session may have ended before or not
		if err := <-served; err != nil {
			t.Errorf("Serve() = %v", err)
		}
		if log := g.log.String(); strings.Contains(log, "panic") {
			t.Error(log)
		}
	})
}

// framed makes frames of a length byte, a command and data.
func framed(s []byte) []byte {
	var out []byte
	for len(s) >= 2 {
		n := min(int(s[0]), len(s)-2)
		out = appendFrame(out, s[1], s[2:2+n])
		s = s[2+n:]
	}
	return out
}

// fieldChecker is a handler that fails the test when a field is none, and
// writes what it was sent into its edits.
type fieldChecker struct{ t *testing.T }

// Field checks one field.
func (h fieldChecker) Field(f []byte) {
	text, whole := strings.CutSuffix(string(f), "\r\n")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n ", ""), "\r\n\t", "")
	name, _, _ := strings.Cut(text, ":")
	if !whole || strings.Contains(text[len(name):], "\n") {
		h.t.Errorf("field %q is none", f)
	}
	if len(f) > 3*4096 {
		h.t.Errorf("field of %d bytes; want at most %d", len(f), 3*4096)
	}
}

func (h fieldChecker) Overflow(env *Envelope, _ [][]byte) Overflow {
	if !env.HeaderTruncated {
		h.t.Error("Overflow of a header within the limits")
	}
	return h
}

func (h fieldChecker) Start(_ context.Context, env *Envelope, header [][]byte) Message {
	size := 0
	for _, f := range header {
		size += len(f)
		h.Field(f)
	}
	if limit := 4096 + 3*4096; size > limit { // every byte of the last frame may be a fold
		h.t.Errorf("header of %d bytes; want at most %d", size, limit)
	}
	return &seen{env: env, answer: func(m *seen) Answer {
		text := m.body.String() + m.env.Helo + m.env.MailFrom
		return Answer{Edits: []Edit{InsertField(text, text), Hold(text), DeleteField("x", 1)}}
	}}
}

// readAnswers reads frames until the server hangs up, and checks that each is
// a well-formed answer.
func readAnswers(t *testing.T, conn net.Conn) {
	c := miltertest.Raw(conn, miltertest.Options{})
	for {
		code, data, err := c.ReadFrame()
		if err != nil {
			if strings.Contains(err.Error(), "answer") {
				t.Error(err)
			}
			return
		}
		if !strings.ContainsRune("Ocspyimq", rune(code)) || code == ansProgress && len(data) > 0 {
			t.Errorf("answer %q %q", code, data)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	g := newGate(&recorder{}, Limits{})
	g.Handler = handlerFunc(func() Message { return nothing{} })
	g.Log = nil
	g.open(b)
	m := mail()
	m.Client = netip.MustParseAddr("192.0.2.1")
	m.Message = []byte(strings.Repeat("Received: from a by b with ESMTP; Mon, 2 Jan 2006 15:04:05 +0000\n", 25) + "\n" + strings.Repeat("0123456789abcde\n", 512))
	c := g.dial(b, miltertest.Options{})
	b.ReportAllocs()
	for b.Loop() {
		send(b, c, m)
	}
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Finish() Answer              { return Answer{} }
