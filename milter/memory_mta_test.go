//go:build mta

package milter

import (
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/mtatest"
)

// bigHeader is a message whose header is beyond freeHeader.
func bigHeader() mtatest.Mail {
	m := proxyMail()
	var b strings.Builder
	for range 3 * freeHeader / 1000 {
		b.WriteString("X-Filler: " + strings.Repeat(strings.Repeat("x", 88)+"\r\n ", 11) + "\r\n")
	}
	m.Data = append([]byte(b.String()), m.Data...)
	return m
}

// full returns a gate without memory for a header beyond freeHeader until free
// is called.
func full(t *testing.T, rec *recorder) (g *gate, free func()) {
	t.Helper()
	g = newGate(rec, Limits{HeaderBytes: 4 << 20, HeaderFields: 2000})
	g.HeaderMemory = NewHeaderMemory(1<<20, g.Metrics, g.Log)
	g.HeaderMemory.patience = 200 * time.Millisecond
	var other claim
	must(t, g.HeaderMemory.grow(t.Context(), &other, 1<<20+freeHeader, "in"))
	return g, func() { g.HeaderMemory.release(&other) }
}

// sender is what both MTAs have.
type sender interface {
	Send(mtatest.Client, mtatest.Mail) (mtatest.Reply, error)
	Log() string
}

// testHeaderMemory sends mail while there is no memory, and again when there
// is some.
func testHeaderMemory(t *testing.T, mta sender, g *gate, rec *recorder, free func()) {
	t.Helper()
	client := mtatest.Client{Addr: "127.0.0.1"}
	send := func(what string, m mtatest.Mail, code int, text string) {
		t.Helper()
		r, err := mta.Send(client, m)
		if err != nil || r.Code != code || !strings.Contains(r.String(), text) {
			t.Fatalf("%s: answer = %v, %v; want %d with %q\n%s", what, r, err, code, text, mta.Log())
		}
	}
	send("a large header", bigHeader(), 451, "4.3.1")
	send("an ordinary one", proxyMail(), 250, "")
	send("a large header again", bigHeader(), 451, "4.3.1")
	free()
	send("a large header with memory", bigHeader(), 250, "")
	if n := len(rec.message(t, 1).header); n < 3*freeHeader/1000 {
		t.Errorf("fields of the message = %d; want all, %d at least", n, 3*freeHeader/1000)
	}
	g.wantCount(t, 2, "milter_header_memory_refused_total")
	g.wantCount(t, 0, "milter_header_memory_bytes")
	g.wantCount(t, 0, "milter_header_memory_waiting")
	if n := g.count(t, "milter_errors_total"); n != 0 {
		t.Errorf("errors = %v; want 0\n%s", n, g.log)
	}
}

func TestHeaderMemoryWithPostfix(t *testing.T) {
	rec := &recorder{}
	g, free := full(t, rec)
	g.openTCP(t)
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{
		Milter: "inet:" + strings.TrimPrefix(g.address, "tcp:"),
		MainCF: "header_size_limit = 1000000",
	})
	testHeaderMemory(t, p, g, rec, free)
}

func TestHeaderMemoryWithSendmail(t *testing.T) {
	rec := &recorder{}
	g, free := full(t, rec)
	g.open(t)
	s := mtatest.StartSendmail(t, mtatest.SendmailConfig{
		Milter: "S=local:" + strings.TrimPrefix(g.address, "unix:") + ", F=T, T=C:30s;S:30s;R:10s;E:5m",
		MC:     "define(`confMAX_HEADERS_LENGTH', `1000000')dnl",
	})
	testHeaderMemory(t, s, g, rec, free)
}

// Sendmail refuses by itself what might wait for memory.
func TestHeaderMemorySufficesForDefaultSendmail(t *testing.T) {
	rec := &recorder{}
	g, free := full(t, rec)
	defer free()
	g.open(t)
	s := mtatest.StartSendmail(t, mtatest.SendmailConfig{
		Milter: "S=local:" + strings.TrimPrefix(g.address, "unix:") + ", F=T, T=C:30s;S:30s;R:10s;E:5m",
	})
	r, err := s.Send(mtatest.Client{}, bigHeader())
	if err != nil || r.Code != 552 {
		t.Errorf("answer = %v, %v; want 552\n%s", r, err, s.Log())
	}
	g.wantCount(t, 0, "milter_header_memory_waits_total")
}
