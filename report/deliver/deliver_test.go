package deliver

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const sample = "From: dmarc@reports.example\r\nTo: rua@bank.example\r\n\r\n.a line with a dot\r\n\r\nbody\r\n"

// sendCase is a file of testdata/cases: settings, scripts of the server, and
// the outcome of each mail.
type sendCase struct {
	cfg         Config
	certificate string // name in the certificate of the server
	unknown     bool   // the authority of the certificate is not known
	size        int    // of the text; 0 is the sample
	scripts     []string
	want        []string
}

func readCase(t *testing.T, path string) sendCase {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := sendCase{cfg: Config{Hello: "us.example", TLS: None, MaxWait: time.Minute}, certificate: "127.0.0.1"}
	section := "settings"
	_, rest, _ := strings.Cut(string(text), "\n\n")
	for line := range strings.Lines(rest) {
		switch word := strings.TrimSpace(line); {
		case word == "-- server --":
			section = "server"
			c.scripts = append(c.scripts, "")
		case word == "-- want --":
			section = "want"
		case word == "":
		case section == "server":
			c.scripts[len(c.scripts)-1] += line
		case section == "want":
			c.want = append(c.want, word)
		default:
			c.set(t, strings.Fields(word))
		}
	}
	if len(c.scripts) == 0 || len(c.want) == 0 {
		t.Fatal("the case has no server or no outcome")
	}
	return c
}

// set obeys a line of settings.
func (c *sendCase) set(t *testing.T, words []string) {
	t.Helper()
	var err error
	switch words[0] {
	case "tls":
		c.cfg.TLS = TLS(words[1])
	case "wait":
		c.cfg.MaxWait, err = time.ParseDuration(words[1])
	case "size":
		c.size, err = strconv.Atoi(words[1])
	case "user":
		c.cfg.User, c.cfg.Password = words[1], words[2]
	case "certificate":
		c.certificate = words[1]
	case "roots":
		c.unknown = true
	default:
		t.Fatalf("unknown setting %q", words)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unquote reads the escapes of a script.
func unquote(s string) (string, error) {
	return strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
}

// show writes an outcome as the cases have it.
func show(o Outcome) string {
	enhanced := o.Enhanced
	if enhanced == "" {
		enhanced = "-"
	}
	out := fmt.Sprintf("%s %s %d %s %q", o.Class, o.Phase, o.Code, enhanced, o.Text)
	for word, is := range map[string]bool{" too large": o.TooLarge(), " uncertain": o.Uncertain(), " tls": o.Class == Sent && o.TLS != ""} {
		if is {
			out += word
		}
	}
	return out
}

// like reports whether an outcome is the wanted one, of whose text a part is
// given.
func like(got, want string) bool {
	head, rest, _ := strings.Cut(want, ` "`)
	part, tail, _ := strings.Cut(rest, `"`)
	return strings.HasPrefix(got, head+` "`) && strings.Contains(got, part) && strings.HasSuffix(got, `"`+tail)
}

func TestSendCases(t *testing.T) {
	paths, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil || len(paths) < 45 {
		t.Fatalf("%d cases, %v; want at least 45", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			c := readCase(t, path)
			srv := start(t, c.certificate, c.scripts...)
			c.cfg.Smarthost, c.cfg.Roots = srv.listener.Addr().String(), srv.roots
			if c.unknown {
				c.cfg.Roots = x509.NewCertPool()
			}
			mail := sample
			if c.size > 0 {
				mail = strings.Repeat("0123456789012345678901234567890123456789\r\n", c.size/42)
			}
			s, err := New(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			sent := 0
			for i, want := range c.want {
				o := s.Send(t.Context(), "b+token@reports.example", "rua@bank.example", []byte(mail))
				if got := show(o); !like(got, want) || o.Host != c.cfg.Smarthost || len(o.Text) > maxText {
					t.Errorf("mail %d: %s, host %s; want %s", i+1, got, o.Host, want)
				}
				if o.Class == Sent {
					sent++
				}
			}
			s.Close()
			mails := srv.end(t)
			for _, got := range mails {
				if got != mail {
					t.Errorf("the server has %q; want %q", got, mail)
				}
			}
			if len(mails) < sent {
				t.Errorf("the server has %d mails; want %d", len(mails), sent)
			}
		})
	}
}

func TestSendWithoutASmarthostIsRetried(t *testing.T) {
	srv := start(t, "127.0.0.1")
	addr := srv.listener.Addr().String()
	srv.end(t)
	s, err := New(Config{Smarthost: addr, Hello: "us.example", TLS: None})
	if err != nil {
		t.Fatal(err)
	}
	if o := s.Send(t.Context(), "a@b.example", "c@d.example", []byte(sample)); o.Class != Retry || o.Phase != Connect || o.Code != 0 || !strings.Contains(o.Text, "refused") {
		t.Errorf("Send() = %+v; want a connection that is refused, to retry", o)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() without a session: %v", err)
	}
}

func TestSendWritesNoAddressThatIsACommand(t *testing.T) {
	s, err := New(Config{Smarthost: "127.0.0.1:1", Hello: "us.example", TLS: None})
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"", "a@b.example> SIZE=1", "a@b.example\r\nDATA", "a b@c.example", "<a@b.example>", "ü@b.example", "a\x00@b.example", strings.Repeat("a", 255)} {
		if o := s.Send(t.Context(), "a@b.example", to, []byte(sample)); o.Class != Refused || o.Phase != Rcpt {
			t.Errorf("Send() to %q = %+v; want it refused", to, o)
		}
		if o := s.Send(t.Context(), to, "a@b.example", []byte(sample)); to != "" && o.Class != Refused {
			t.Errorf("Send() from %q = %+v; want it refused", to, o)
		}
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	for name, script := range map[string]string{
		"before the greeting": "hang\n",
		"after the text":      "> 220 mx\n< EHLO\n> 250 mx\n< MAIL\n> 250 Ok\n< RCPT\n> 250 Ok\n< DATA\n> 354 go on\ntext\nhang\n",
	} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, "127.0.0.1", script)
			s, err := New(Config{Smarthost: srv.listener.Addr().String(), Hello: "us.example", TLS: None})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if o := s.Send(ctx, "a@b.example", "c@d.example", []byte(sample)); o.Class != Retry || o.Code != 0 {
				t.Errorf("Send() = %+v; want a retry", o)
			}
			if s.open != nil {
				t.Error("the session of a mail that was given up is kept")
			}
			srv.end(t)
		})
	}
}

func TestSendOpensASessionAfterAnIdleOne(t *testing.T) {
	const script = "> 220 mx\n< EHLO\n> 250 mx\n< MAIL\n> 250 Ok\n< RCPT\n> 250 Ok\n< DATA\n> 354 go on\ntext\n> 250 Ok\n< QUIT\n> 221 bye\n"
	srv := start(t, "127.0.0.1", script, script)
	s, err := New(Config{Smarthost: srv.listener.Addr().String(), Hello: "us.example", TLS: None})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.now = func() time.Time { return now }
	for range 2 {
		if o := s.Send(t.Context(), "a@b.example", "c@d.example", []byte(sample)); o.Class != Sent {
			t.Errorf("Send() = %+v; want it sent", o)
		}
		now = now.Add(maxIdle + 1)
	}
	s.Close()
	srv.end(t)
}

func TestLoadPasswordReadsTwoLines(t *testing.T) {
	for text, want := range map[string][2]string{
		"alice\nsecret\n":       {"alice", "secret"},
		"alice\nsecret":         {"alice", "secret"},
		"alice\r\nsecret\r\n":   {"alice", "secret"},
		"alice\n two words \n":  {"alice", " two words "},
		"alice\nsecret\n\n":     {"alice", "secret"},
		"":                      {},
		"alice":                 {},
		"alice\n\n":             {},
		"\nsecret\n":            {},
		"alice\nsecret\nmore\n": {},
		"alice\x00\nsecret":     {},
		"alice:secret\n":        {},
	} {
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		user, password, err := LoadPassword(path)
		if [2]string{user, password} != want || (err == nil) != (want[0] != "") || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("LoadPassword() of %q = %q, %q, %v; want %q", text, user, password, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("alice\nsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := LoadPassword(path); err == nil {
		t.Error("LoadPassword() took a file that every user can read")
	}
}

func TestSendFromSeveralGoroutines(t *testing.T) {
	const mails = 20
	srv := start(t, "127.0.0.1", "> 220 mx\n< EHLO\n> 250 mx\n"+strings.Repeat("< MAIL\n> 250 Ok\n< RCPT\n> 250 Ok\n< DATA\n> 354 go on\ntext\n> 250 Ok\n", mails)+"< QUIT\n> 221 bye\n")
	s, err := New(Config{Smarthost: srv.listener.Addr().String(), Hello: "us.example", TLS: None})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range mails {
		wg.Go(func() {
			if o := s.Send(t.Context(), "a@b.example", "c@d.example", []byte(sample)); o.Class != Sent {
				t.Errorf("Send() = %+v; want it sent", o)
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := srv.end(t); len(got) != mails {
		t.Errorf("the server has %d mails; want %d", len(got), mails)
	}
}

func TestNewTakesTheStrictestModeByDefault(t *testing.T) {
	s, err := New(Config{Smarthost: "mx.example:25", Hello: "us.example"})
	if err != nil || s.cfg.TLS != Verify {
		t.Errorf("New() has mode %q, %v; want %q", s.cfg.TLS, err, Verify)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	good := Config{Smarthost: "mx.example:25", Hello: "us.example"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no port":              func(c *Config) { c.Smarthost = "mx.example" },
		"no host":              func(c *Config) { c.Smarthost = ":25" },
		"no name":              func(c *Config) { c.Hello = "" },
		"name with a line end": func(c *Config) { c.Hello = "us.example\r\nMAIL" },
		"unknown mode":         func(c *Config) { c.TLS = "yes" },
		"password in plain":    func(c *Config) { c.TLS, c.User = None, "alice" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: New() has no error", name)
		}
	}
}

func TestQueueIDIsFoundInReplies(t *testing.T) {
	for text, want := range map[string]string{
		"Ok: queued as 4bKjY43Z1Tz2xK":                 "4bKjY43Z1Tz2xK",          // Postfix, long ids
		"Ok: queued as 3F2A71C0":                       "3F2A71C0",                // Postfix
		"OK id=1uLwqB-00000001abc-2Def":                "1uLwqB-00000001abc-2Def", // Exim
		"5AU12AbC012345 Message accepted for delivery": "5AU12AbC012345",          // Sendmail
		"Ok":             "",
		"queued as ?[2J": "",
		"Ok: queued as " + strings.Repeat("a", 70): strings.Repeat("a", 64),
	} {
		if got := (Outcome{Class: Sent, Text: text}).QueueID(); got != want {
			t.Errorf("QueueID() of %q = %q; want %q", text, got, want)
		}
	}
	if got := (Outcome{Class: Refused, Text: "queued as ABCDEF"}).QueueID(); got != "" {
		t.Errorf("QueueID() of a refused mail = %q; want none", got)
	}
}

// Whatever a smarthost says, what is kept is short and printable, and decides by
// its code alone.
func FuzzOutcome(f *testing.F) {
	f.Add(550, "5.1.1 no such user")
	f.Add(550, "5.1.1 \x1b[2J\nsecond line")
	f.Add(250, strings.Repeat("ü", 300))
	f.Add(-1, "5..1 x")
	f.Add(421, "")
	s := &Sender{cfg: Config{Smarthost: "mx.example:25"}}
	f.Fuzz(func(t *testing.T, code int, text string) {
		for _, phase := range []Phase{Connect, Greeting, StartTLS, Auth, Mail, Rcpt, Data, End} {
			o := s.outcome(phase, &textproto.Error{Code: code, Msg: text})
			if len(o.Text) > maxText || strings.ContainsFunc(o.Text, func(r rune) bool { return r < ' ' || r > '~' }) || o.Enhanced != "" && !enhancedCode.MatchString(o.Enhanced+" ") {
				t.Errorf("%q: %+v", text, o)
			}
			if o.Class == Sent || (o.Class == Refused || o.Class == OurFault) != (code >= 500 && code < 600) {
				t.Errorf("%d %q at %s: class %s", code, text, phase, o.Class)
			}
		}
	})
}
