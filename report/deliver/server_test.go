package deliver

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/mtatest"
)

// server plays smarthosts by scripts, one for each connection. A line of a
// script is:
//
//	> TEXT     say a line; \r, \n, \x00 and the like as in Go
//	< PREFIX   read a line that begins so
//	text       read a mail up to its dot
//	starttls   begin TLS
//	flood TEXT say a text without end
//	drip TEXT  say a text slowly
//	hang       neither read nor write until the test ends
//	closed     the client must leave now
//	close      close the connection
type server struct {
	listener    net.Listener
	certificate tls.Certificate
	roots       *x509.CertPool
	wg          sync.WaitGroup
	over        chan struct{} // closed when the client is done

	mu     sync.Mutex
	mails  []string
	faults []error
}

// start serves the scripts, and fails the test at its end when the client has
// not followed them.
func start(t *testing.T, name string, scripts ...string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{listener: l, over: make(chan struct{})}
	s.certificate, s.roots = mtatest.Certificate(t, name)
	s.wg.Go(func() {
		for i, script := range scripts {
			c, err := l.Accept()
			if err != nil {
				s.fault(fmt.Errorf("connection %d never came", i+1))
				return
			}
			s.fault(s.play(c, script))
			c.Close()
		}
	})
	return s
}

// end waits for the scripts and returns the mails.
func (s *server) end(t *testing.T) []string {
	t.Helper()
	close(s.over)
	s.listener.Close()
	s.wg.Wait()
	for _, err := range s.faults {
		t.Error("server:", err)
	}
	return s.mails
}

func (s *server) fault(err error) {
	if err != nil {
		s.mu.Lock()
		s.faults = append(s.faults, err)
		s.mu.Unlock()
	}
}

// play follows one script.
func (s *server) play(c net.Conn, script string) error {
	in := bufio.NewReader(c)
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		what, arg, _ := strings.Cut(line, " ")
		arg, err := unquote(arg)
		if err != nil {
			return err
		}
		switch what {
		case ">":
			_, err = io.WriteString(c, arg+"\r\n")
		case "<":
			err = expect(in, arg)
		case "text":
			err = s.text(in)
		case "starttls":
			var t *tls.Conn
			if t = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{s.certificate}}); t.Handshake() != nil {
				return nil // as the client says
			}
			c, in = t, bufio.NewReader(t)
		case "flood":
			for err == nil {
				_, err = io.WriteString(c, strings.Repeat(arg, 100))
			}
			return nil
		case "drip":
			for i := 0; err == nil && i < len(arg); i++ {
				_, err = io.WriteString(c, arg[i:i+1])
				time.Sleep(20 * time.Millisecond) // what is tested: bytes that come slowly
			}
			return nil
		case "hang":
			<-s.over
			return nil
		case "closed":
			if b, err := in.ReadByte(); err == nil {
				return fmt.Errorf("the client goes on with %q", b)
			}
		case "close":
			return nil
		default:
			return fmt.Errorf("script: unknown line %q", line)
		}
		if err != nil {
			return fmt.Errorf("at %q: %w", line, err)
		}
	}
	return nil
}

// text reads a mail and keeps it.
func (s *server) text(in *bufio.Reader) error {
	var mail strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if line == ".\r\n" {
			s.mu.Lock()
			s.mails = append(s.mails, mail.String())
			s.mu.Unlock()
			return nil
		}
		mail.WriteString(strings.TrimPrefix(line, "."))
	}
}

func expect(in *bufio.Reader, prefix string) error {
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, prefix) || !strings.HasSuffix(line, "\r\n") {
		return fmt.Errorf("the client says %q; want %q", line, prefix)
	}
	return nil
}
