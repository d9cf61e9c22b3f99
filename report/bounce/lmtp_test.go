package bounce

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/milter"
)

// serve starts the LMTP server on a Unix socket and returns the socket, and a
// function that ends the server.
func serve(t *testing.T, in Intake) (socket string, stop func()) {
	t.Helper()
	return serveFor(t, in, maxCommand)
}

// serveFor is serve with another deadline for a command.
func serveFor(t *testing.T, in Intake, command time.Duration) (socket string, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bounce") // the path of t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "lmtp")
	l, err := milter.Socket{Network: "unix", Addr: socket, Mode: 0o660, UID: -1, GID: -1}.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.serve(ctx, l, slog.New(slog.DiscardHandler), command) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve() = %v; want nil after the end of its context", err)
		}
	}
	t.Cleanup(stop)
	return socket, stop
}

// client is a session of a client that says what it is told.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, socket string) *client {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return &client{t, c, bufio.NewReader(c)}
}

// reply reads one reply, of several lines perhaps, and returns its last line.
func (c *client) reply() string {
	c.t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimRight(line, "\r\n")
		}
	}
}

// say sends a line and wants a reply that begins so.
func (c *client) say(line, want string) {
	c.t.Helper()
	if line != "" {
		fmt.Fprintf(c, "%s\r\n", line)
	}
	if got := c.reply(); !strings.HasPrefix(got, want) {
		c.t.Errorf("%.80q: %q; want %q", line, got, want)
	}
}

// begin says everything before the text.
func (c *client) begin(to ...string) {
	c.t.Helper()
	c.say("", "220 ")
	c.say("LHLO mx.receiver.example", "250 ")
	c.say("MAIL FROM:<>", "250 ")
	for _, to := range to {
		c.say("RCPT TO:<"+to+">", "250 ")
	}
	c.say("DATA", "354 ")
}

func TestServeAnswersAfterTheCommit(t *testing.T) {
	s := &shelf{}
	socket, _ := serve(t, intake(t, s))
	notice := mails(t)["postfix-user-unknown"][1]
	to := key(t).Address("one", now, domain)
	c := dial(t, socket)
	c.begin(to)
	io.WriteString(c, notice+".\r\n")
	c.say("", "250 ")
	if b := s.all(); len(b) != 1 || b[0].Token != key(t).Token("one", now) || b[0].Kind != Failed || b[0].Received != now {
		t.Errorf("bounces %+v; want one failure of the token", b)
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("disk: %w", ErrFull), "452 4.3.1 "},
		{errors.New("the secret path of a file"), "451 4.3.0 <" + to + "> bounce cannot be stored now"},
	} {
		s.fail(tt.err)
		c.say("MAIL FROM:<>", "250 ")
		c.say("RCPT TO:<"+to+">", "250 ")
		c.say("DATA", "354 ")
		io.WriteString(c, notice+".\r\n")
		c.say("", tt.want)
	}
	s.fail(nil)
	c.say("MAIL FROM:<person@bank.example>", "250 ")
	c.say("RCPT TO:<"+to+">", "250 ")
	c.say("RCPT TO:<"+key(t).Address("two", now, domain)+">", "250 ")
	c.say("RCPT TO:<"+to+">", "250 ")
	c.say("DATA", "354 ")
	io.WriteString(c, "Subject: hello\r\n\r\nI do not want this\r\n.\r\n")
	for range 3 {
		c.say("", "250 ")
	}
	if b := s.all(); len(b) != 4 || b[3].Kind != Answer {
		t.Errorf("bounces %+v; want three answers more", b)
	}
	c.say("QUIT", "221 ")
}

func TestServeTakesOnlyReturnPaths(t *testing.T) {
	s := &shelf{}
	socket, _ := serve(t, intake(t, s))
	k := key(t)
	good := k.Address("one", now, domain)
	c := dial(t, socket)
	c.say("", "220 ")
	c.say("LHLO mx.receiver.example", "250 ")
	c.say("MAIL FROM:<>", "250 ")
	for _, to := range []string{
		"postmaster@" + domain, "dmarc@" + domain, good[:len(good)-1], strings.Replace(good, "b+", "c+", 1),
		"b+aaaaaaaaaaaaaaaaaaaa@" + domain, k.Address("old", now.AddDate(0, 0, -32), domain), k.Address("x", now, "other.example"),
	} {
		c.say("RCPT TO:<"+to+">", "550 5.1.1 ")
	}
	c.say("DATA", "502 ")
	for i := range maxRecipients {
		c.say("RCPT TO:<"+k.Address(fmt.Sprint(i), now, domain)+">", "250 ")
	}
	c.say("RCPT TO:<"+good+">", "452 ")
	if len(s.all()) != 0 {
		t.Errorf("bounces %+v; want none", s.all())
	}
}

// A mail that does not come whole is no bounce, in whichever way it comes.
func TestServeStoresNoPartOfAMail(t *testing.T) {
	notice := mails(t)["postfix-user-unknown"][1]
	for name, end := range map[string]func(c *client, to string){
		"closed within the text": func(c *client, to string) {
			c.begin(to)
			io.WriteString(c, notice)
			c.Close()
		},
		"closed behind the dot's line end": func(c *client, to string) {
			c.begin(to)
			io.WriteString(c, notice+".\r")
			c.Close()
		},
		"closed between two chunks": func(c *client, to string) {
			c.say("", "220 ")
			c.say("LHLO mx", "250 ")
			c.say("MAIL FROM:<>", "250 ")
			c.say("RCPT TO:<"+to+">", "250 ")
			c.say(fmt.Sprintf("BDAT %d\r\n%s", len(notice), strings.TrimSuffix(notice, "\r\n")), "250 ")
			c.Close()
		},
		"too large": func(c *client, to string) {
			c.begin(to)
			io.WriteString(c, notice)
			line := strings.Repeat("x", 998) + "\r\n"
			for n := 0; n <= maxMail; n += len(line) {
				io.WriteString(c, line)
			}
			io.WriteString(c, ".\r\n")
			c.say("", "552 5.3.4 ")
		},
		"line without end": func(c *client, to string) {
			c.begin(to)
			io.WriteString(c, notice+strings.Repeat("x", maxLine+1)+"\r\n.\r\n")
			c.say("", "451 ")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{}
			socket, stop := serve(t, intake(t, s))
			c := dial(t, socket)
			end(c, key(t).Address("one", now, domain))
			stop() // waits for what is handled
			if b := s.all(); len(b) != 0 {
				t.Errorf("bounces %+v; want none", b)
			}
		})
	}
}

func TestServeTakesMailInChunks(t *testing.T) {
	s := &shelf{}
	socket, _ := serve(t, intake(t, s))
	notice := mails(t)["postfix-user-unknown"][1]
	c := dial(t, socket)
	c.say("", "220 ")
	c.say("LHLO mx", "250 ")
	c.say("MAIL FROM:<>", "250 ")
	c.say("RCPT TO:<"+key(t).Address("one", now, domain)+">", "250 ")
	fmt.Fprintf(c, "BDAT %d\r\n%s", 100, notice[:100])
	c.say("", "250 ")
	fmt.Fprintf(c, "BDAT %d LAST\r\n%s", len(notice)-100, notice[100:])
	c.say("", "250 ")
	if b := s.all(); len(b) != 1 || b[0].Kind != Failed {
		t.Errorf("bounces %+v; want one failure", b)
	}
}

func TestServeLetsTheEleventhSessionWait(t *testing.T) {
	socket, _ := serve(t, intake(t, &shelf{}))
	var open []*client
	for range maxSessions {
		c := dial(t, socket)
		c.say("", "220 ")
		open = append(open, c)
	}
	late := dial(t, socket)
	late.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) // what is tested: nothing comes
	if b, err := late.in.ReadByte(); err == nil {
		t.Errorf("session %d reads %q while %d are open", maxSessions+1, b, maxSessions)
	}
	open[3].say("QUIT", "221 ")
	late.SetReadDeadline(time.Now().Add(time.Minute))
	late.in.Reset(late.Conn)
	late.say("", "220 ")
}

// A client that hangs, or says a byte now and then, does not keep its session.
func TestServeEndsSessionsThatTakeTooLong(t *testing.T) {
	for name, hang := range map[string]func(c *client, to string){
		"before LHLO":     func(c *client, _ string) { c.say("", "220 ") },
		"within the text": func(c *client, to string) { c.begin(to); io.WriteString(c, "Subject: x\r\n") },
		"within a chunk": func(c *client, to string) {
			c.say("", "220 ")
			c.say("LHLO mx", "250 ")
			c.say("MAIL FROM:<>", "250 ")
			c.say("RCPT TO:<"+to+">", "250 ")
			io.WriteString(c, "BDAT 1000 LAST\r\nSubject: x\r\n")
		},
		"slow text": func(c *client, to string) {
			c.begin(to)
			go func() {
				for {
					if _, err := io.WriteString(c, "x"); err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond) // what is tested: bytes that come slowly
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{}
			socket, stop := serveFor(t, intake(t, s), 300*time.Millisecond)
			c := dial(t, socket)
			hang(c, key(t).Address("one", now, domain))
			for got := ""; got != io.EOF.Error(); got = c.reply() { // perhaps after a last reply
				if got != "" && got[0] == '2' || strings.HasPrefix(got, "5") || strings.Contains(got, "i/o timeout") {
					t.Fatalf("the server says %q", got)
				}
				if strings.Contains(got, "reset") || strings.Contains(got, "broken pipe") {
					break
				}
			}
			stop()
			if len(s.all()) != 0 {
				t.Errorf("bounces %+v; want none", s.all())
			}
		})
	}
}

func TestServeEndsWhileSessionsAreOpen(t *testing.T) {
	socket, stop := serve(t, intake(t, &shelf{}))
	for range maxSessions + 1 {
		dial(t, socket)
	}
	stop()
}

func TestServeWaitsForWhatIsHandled(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	stored := false
	in := intake(t, &shelf{})
	in.Handle = func(context.Context, Bounce) error {
		close(begun)
		<-finish
		stored = true
		return nil
	}
	socket, stop := serve(t, in)
	c := dial(t, socket)
	c.begin(key(t).Address("one", now, domain))
	io.WriteString(c, "Subject: x\r\n\r\n.\r\n")
	<-begun
	time.AfterFunc(50*time.Millisecond, func() { close(finish) })
	stop()
	if !stored { // written before Serve returned, or the race detector tells
		t.Error("Serve() returned while a bounce was handled")
	}
}

// A server that is closed before it serves has no listener to close.
func TestServeEndsWhenItIsStoppedBeforeItAccepts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(10*time.Second, func() { l.Close() })
	defer stop.Stop()
	defer l.Close()
	done := make(chan struct{})
	close(done)
	for range 64 { // a select with two ways takes either
		if _, err := (&limited{Listener: l, slots: make(chan struct{}, 1), done: done}).Accept(); err != net.ErrClosed {
			t.Fatalf("Accept() after the end = %v; want %v at once", err, net.ErrClosed)
		}
	}
}

func TestServeListensWhereOnlyTheMTAConnects(t *testing.T) {
	in := intake(t, &shelf{})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		network, addr string
		mode          os.FileMode
		ok            bool
	}{
		{"tcp", "127.0.0.1:0", 0, true},
		{"tcp", "0.0.0.0:0", 0, false},
		{"tcp", "[::]:0", 0, false},
		{"unix", "", 0o660, true},
		{"unix", "", 0o600, true},
		{"unix", "", 0o666, false},
	} {
		addr := tt.addr
		if tt.network == "unix" {
			addr = filepath.Join(t.TempDir(), "s")
		}
		l, err := net.Listen(tt.network, addr)
		if err != nil {
			t.Fatal(err)
		}
		if tt.network == "unix" {
			if err := os.Chmod(addr, tt.mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := in.Serve(over, l, slog.New(slog.DiscardHandler)); (err == nil) != tt.ok {
			t.Errorf("Serve() on %s %v mode %04o = %v; want it accepted: %v", tt.network, l.Addr(), tt.mode, err, tt.ok)
		}
		l.Close()
	}
}

// The deadline of a session is not moved by what the client does.
func TestConnEndsWithItsSession(t *testing.T) {
	end := time.Date(2026, 11, 30, 0, 15, 0, 0, time.UTC)
	c := &conn{end: end}
	for given, want := range map[time.Time]time.Time{
		{}:                     end,
		end.Add(-time.Minute):  end.Add(-time.Minute),
		end.Add(5 * time.Hour): end,
	} {
		if got := c.before(given); got != want {
			t.Errorf("before(%v) = %v; want %v", given, got, want)
		}
	}
}
