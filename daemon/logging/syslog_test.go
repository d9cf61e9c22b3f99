package logging

import (
	"bytes"
	"fmt"
	"log/syslog"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dmarcgate/config"
)

// devLog is a socket in place of /dev/log.
func devLog(t *testing.T) (*net.UnixConn, func() (*syslog.Writer, error)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, func() (*syslog.Writer, error) {
		return syslog.Dial("unixgram", path, facilities["local3"]|syslog.LOG_INFO, program)
	}
}

// received returns the next line that a syslog daemon gets.
func received(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// openSyslog is Open with the socket of a test.
func openSyslog(stderr *bytes.Buffer, c config.Log, dial func() (*syslog.Writer, error)) (Log, *toSyslog) {
	n := &counts{}
	s := startSyslog(dial, n)
	l := build(s, c, n)
	s.begin(l.Logger, stderr)
	return l, s
}

func TestSyslogGetsLinesWithFacilityAndSeverity(t *testing.T) {
	conn, dial := devLog(t)
	var stderr bytes.Buffer
	l, _ := openSyslog(&stderr, logfmt(), dial)
	l.Error("one")
	messageLine(l, "evil\r\n<0>Jan  1 00:00:00 kernel: panic")
	l.Warn("long", "text", strings.Repeat("x", 3*maxLine))
	l.Close()
	local3 := 19 * 8
	for _, want := range []string{
		fmt.Sprintf(`^<%d>.{15} dmarcgate\[\d+\]: time=\S+ level=ERROR msg=one\n$`, local3+3),
		fmt.Sprintf(`^<%d>.{15} dmarcgate\[\d+\]: time=\S+ qid=4XyZ helo="evil\\r\\n<0>Jan  1 00:00:00 kernel: panic" action=reject\n$`, local3+6),
		fmt.Sprintf(`^<%d>.{15} dmarcgate\[\d+\]: time=\S+ level=WARN msg=long text=x+…\n$`, local3+4),
	} {
		got := received(t, conn)
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("syslog gets %.200q; want %s", got, want)
		}
		if len(got) > maxLine+60 {
			t.Errorf("syslog gets a line of %d bytes; want at most %d and its head", len(got), maxLine)
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("standard error has %q; want nothing", stderr.String())
	}
}

// The socket of a syslog daemon that reads nothing is full after some lines.
func TestSyslogThatDoesNotReadLosesLinesAndBlocksNobody(t *testing.T) {
	conn, dial := devLog(t)
	l, s := openSyslog(&bytes.Buffer{}, logfmt(), dial)
	for range 3 * queueLines {
		messageLine(l, strings.Repeat("h", 1000))
	}
	if s.lost.Load() < queueLines/2 {
		t.Errorf("%d lines are lost; want at least %d", s.lost.Load(), queueLines/2)
	}
	told := regexp.MustCompile(`level=WARN msg="log lines dropped by a slow or absent syslog" lines=(\d+)`)
	sum, lines := 0, 0
	for lines+sum < 3*queueLines {
		text := received(t, conn)
		if m := told.FindStringSubmatch(text); m != nil {
			var n int
			if _, err := fmt.Sscan(m[1], &n); err != nil {
				t.Fatal(err)
			}
			sum += n
			continue
		}
		lines++
	}
	if lines+sum != 3*queueLines {
		t.Errorf("syslog got %d lines and was told of %d that are lost; want %d together", lines, sum, 3*queueLines)
	}
	l.Close()
}

func TestSyslogThatIsNotThereKeepsNobodyFromStarting(t *testing.T) {
	var stderr bytes.Buffer
	conn, dial := devLog(t)
	path := conn.LocalAddr().String()
	conn.Close()
	l, s := openSyslog(&stderr, logfmt(), dial)
	l.Info("unheard")
	l.Close()
	if want := "dmarcgate: cannot connect to syslog: "; !strings.HasPrefix(stderr.String(), want) || !strings.Contains(stderr.String(), path) {
		t.Errorf("standard error = %q; want %q with the path %s", stderr.String(), want, path)
	}
	if s.counts.before["syslog"] != 1 {
		t.Errorf("lost = %v; want one line for syslog", s.counts.before)
	}
}

func TestSyslogFacilitiesAreThoseOfTheConfiguration(t *testing.T) {
	for word := range facilities {
		text := "[log]\nto = \"syslog\"\nsyslog_facility = \"" + word + "\"\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = \"monitor\"\n"
		if _, err := config.Parse("dmarcgate.toml", []byte(text)); err != nil {
			t.Errorf("syslog_facility = %q: %v", word, err)
		}
	}
	if len(facilities) != 11 {
		t.Errorf("%d facilities; want 11", len(facilities))
	}
}

func TestOpenUsesTheSyslogOfTheHost(t *testing.T) {
	c := logfmt()
	c.To, c.Level = "syslog", "error" // a test of dmarcgate is no news to the host
	var stderr bytes.Buffer
	l := Open(&stderr, c)
	l.Info("unseen")
	l.Close()
	writer, err := syslog.Dial("", "", syslog.LOG_MAIL, program)
	if err == nil {
		writer.Close()
	}
	if said := strings.Contains(stderr.String(), "cannot connect to syslog"); said == (err == nil) {
		t.Errorf("standard error = %q on a host where dialling syslog gives %v", stderr.String(), err)
	}
}
