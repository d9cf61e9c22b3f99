package mtatest

import (
	"net"
	"slices"
	"strings"
	"testing"
)

func newSink(t *testing.T) *Sink {
	t.Helper()
	sink, err := StartSink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	return sink
}

func newSession(t *testing.T, addr string) *Session {
	t.Helper()
	s, err := Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestWhatTheSessionSendsArrivesUnchangedAtTheSink(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"plain", "A: b\r\n\r\nbody\r\n", ""},
		{"lines of dots", "A: b\r\n\r\n.\r\n..\r\n.x\r\n", ""},
		{"first line is a dot", ".\r\n", ""},
		{"nothing at all", "", ""},
		{"no end of line at the end", "A: b\r\n\r\nbody", "A: b\r\n\r\nbody\r\n"},
		{"bytes above 127 and bare CR", "A: \xc3\xbc\xff\r\n\r\na\rb\r\n", ""},
	}
	sink := newSink(t)
	s := newSession(t, sink.Addr())
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == "" {
				tt.want = tt.data
			}
			sent := Mail{From: "ü@sender.example", Params: []string{"SMTPUTF8", "BODY=8BITMIME"}, Rcpts: []string{"a@receiver.example", "b@receiver.example"}, Data: []byte(tt.data)}
			if r, err := s.Send(sent); err != nil || r.Code != 250 {
				t.Fatalf("Send = %v, %v; want 250", r, err)
			}
			got := sink.Mails()[i]
			if string(got.Data) != tt.want {
				t.Errorf("delivered %q; want %q", got.Data, tt.want)
			}
			if got.From != sent.From || !slices.Equal(got.Params, sent.Params) || !slices.Equal(got.Rcpts, sent.Rcpts) {
				t.Errorf("envelope %+v; want that of %+v", got, sent)
			}
		})
	}
	if r, err := s.QUIT(); err != nil || r.Code != 221 {
		t.Errorf("QUIT = %v, %v; want 221", r, err)
	}
}

func TestDeliveredFindsAMessageBeforeAndAfterItCame(t *testing.T) {
	sink := newSink(t)
	found := make(chan error)
	wanted := func(m Mail) bool { return m.From == "second@sender.example" }
	go func() {
		_, err := sink.Delivered(t.Context(), wanted)
		found <- err
	}()
	s := newSession(t, sink.Addr())
	for _, from := range []string{"first@sender.example", "second@sender.example"} {
		if _, err := s.Send(Mail{From: from, Rcpts: []string{"a@receiver.example"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-found; err != nil {
		t.Errorf("waiting for a message to come: %v", err)
	}
	if _, err := sink.Delivered(t.Context(), wanted); err != nil {
		t.Errorf("a message that has come: %v", err)
	}
}

// speak answers a connection with this text, whatever is said.
func speak(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			c.Write([]byte(text))
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

func TestRepliesAreRead(t *testing.T) {
	tests := []struct {
		name, text, want string // want "" is an error
	}{
		{"one line", "220 mx ready\r\n", "220 mx ready"},
		{"several lines", "220-mx\r\n220-and more\r\n220 ready\r\n", "220 mx / and more / ready"},
		{"a code alone", "421\r\n", "421 "},
		{"bare LF", "220 mx\n", "220 mx"},
		{"cut off after a line", "220-mx\r\n", ""},
		{"no code", "hello\r\n", ""},
		{"code out of range", "999 x\r\n", ""},
		{"empty line", "\r\n", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Dial(speak(t, tt.text))
			if err != nil {
				if tt.want != "" {
					t.Errorf("Dial after %q = %v; want %q", tt.text, err, tt.want)
				}
				return
			}
			defer s.Close()
			if got := s.Greeting.String(); got != tt.want {
				t.Errorf("greeting after %q = %q; want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestXTextEncodesWhatAnAttributeMustNotHold(t *testing.T) {
	tests := []struct{ in, want string }{
		{"mail.example", "mail.example"},
		{"[UNAVAILABLE]", "[UNAVAILABLE]"},
		{"a b=c+d", "a+20b+3Dc+2Bd"},
		{"ü\r\n", "+C3+BC+0D+0A"},
	}
	for _, tt := range tests {
		if got := xtext(tt.in); got != tt.want {
			t.Errorf("xtext(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestFieldsAreFoundWithTheirFolds(t *testing.T) {
	m := Mail{Data: []byte("Received: by mx (Postfix) with ESMTP id 4abC for <a@b>;\r\n\tdate\r\nSubject:one\r\nX: y\r\n\r\nSubject: not this\r\n")}
	if got, want := m.Fields("subject"), []string{"one"}; !slices.Equal(got, want) {
		t.Errorf("Fields(subject) = %q; want %q", got, want)
	}
	if got := m.Fields("received"); len(got) != 1 || !strings.HasSuffix(got[0], ";\r\n\tdate") {
		t.Errorf("Fields(received) = %q; want one value with its fold", got)
	}
	if got := m.QueueID(); got != "4abC" {
		t.Errorf("QueueID() = %q; want 4abC", got)
	}
	if got := string(m.Body()); got != "Subject: not this\r\n" {
		t.Errorf("Body() = %q", got)
	}
}
