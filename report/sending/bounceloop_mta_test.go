//go:build mta

package sending

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/milter"
	"dmarcgate/report/bounce"
	"dmarcgate/report/deliver"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
)

// mailHost is a Postfix that hands report mail over to a server which refuses some
// recipients, and bounces to a socket.
func mailHost(t *testing.T, socket string) *mtatest.Postfix {
	t.Helper()
	port, err := childtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	mx := fmt.Sprintf("127.0.0.1:%d", port)
	return mtatest.StartPostfix(t, mtatest.PostfixConfig{
		MainCF: relay + "relay_domains = reports.receiver.example, bank.example\n" +
			fmt.Sprintf("transport_maps = inline:{{dmarc@bank.example=smtp:[127.0.0.1]:%d} {reports.receiver.example=lmtp:unix:%s}}\n", port, socket) +
			"refused = check_recipient_access inline:{{dmarc@bank.example=550 5.1.1 user unknown}}\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s\n",
		MasterCF: "lmtp unix - - n - - lmtp\n" + mx + " inet n - n - 10 smtpd -o smtpd_recipient_restrictions=$refused,reject\n",
	})
}

// intake takes the bounces of a site at a socket that Postfix can use.
type intake struct {
	s      *site
	now    atomic.Int64 // milliseconds: the clock of the site, which moves between turns
	failed chan bounce.Bounce
}

func (i *intake) clock() time.Time { return time.UnixMilli(i.now.Load()).UTC() }

func startIntake(t *testing.T, s *site) (i *intake, socket string) {
	t.Helper()
	i = &intake{s: s, failed: make(chan bounce.Bounce, 10)}
	i.now.Store(s.now.UnixMilli())
	q, err := file.Open(t.Context(), file.Options{Path: s.path, Log: slog.New(slog.DiscardHandler), Now: i.clock})
	if err != nil {
		t.Fatal(err)
	}
	key, err := Key(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	store := Bounced(q, &counts{deliveries: map[string]int{}})
	in := bounce.Intake{Key: key, Domain: "reports.receiver.example", Now: i.clock, Handle: func(ctx context.Context, b bounce.Bounce) error {
		err := store(ctx, b)
		if err == nil && b.Kind == bounce.Failed {
			i.failed <- b
		}
		return err
	}}
	socket = filepath.Join(mtatest.Dir(t), "lmtp")
	l := listen(t, socket)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Serve(ctx, l, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		q.Close()
	})
	return i, socket
}

// listen opens a socket for Postfix.
func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	group, err := user.LookupGroup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		t.Fatal(err)
	}
	l, err := milter.Socket{Network: "unix", Addr: path, Mode: 0o660, UID: -1, GID: gid}.Listen()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A mailbox that does not exist bounces each time: reports to it are suppressed for 7, 30
// and 90 days, then until a person lifts the suppression. A forged return path changes
// nothing.
func TestBounceLoop(t *testing.T) {
	s := ready(t, "bank.example")
	in, socket := startIntake(t, s)
	p := mailHost(t, socket)
	s.set.Open = func() (Sender, error) {
		return deliver.New(deliver.Config{Smarthost: p.Addr(), Hello: "us.example", TLS: deliver.None})
	}
	h := s.host("a")
	for n, wait := range []time.Duration{7 * queue.Day, 30 * queue.Day, 90 * queue.Day, 0} {
		s.receives(s.now.Add(-12*time.Hour), "bank.example")
		in.turn(h)
		select {
		case b := <-in.failed:
			if b.Status != "5.1.1" || !strings.Contains(b.Text, "user unknown") {
				t.Errorf("bounce %+v; want the words of the server that refused", b)
			}
		case <-time.After(patience):
			t.Fatalf("bounce %d never came; reports %+v\n%s", n+1, s.reports(queue.Filter{}), p.Log())
		}
		until := s.suppressed(t, n+1, wait)
		s.receives(s.now, "bank.example")
		s.now = s.now.Add(queue.Day)
		in.turn(h)
		if r := s.newest(); r.Deliveries[0].State != queue.Suppressed || len(in.failed) > 0 {
			t.Errorf("the day after bounce %d the mail is %s; want it suppressed", n+1, r.Deliveries[0].State)
		}
		forged(t, p)
		if wait > 0 {
			s.now = until.Truncate(queue.Day).Add(queue.Day + queue.CloseAfter) // the day before is due
		}
	}
}

// turn takes a turn at the present time of the site.
func (i *intake) turn(h *Sending) {
	i.s.t.Helper()
	i.now.Store(i.s.now.UnixMilli())
	if err := h.Turn(i.s.t.Context()); err != nil {
		i.s.t.Fatal(err)
	}
}

// newest is the report about the latest day.
func (s *site) newest() queue.Report {
	s.t.Helper()
	list := s.reports(queue.Filter{PolicyDomain: "bank.example"})
	if len(list) == 0 || len(list[0].Deliveries) != 1 {
		s.t.Fatalf("reports = %+v; want the newest with one delivery", list)
	}
	return list[0]
}

// suppressed checks the only suppression, and returns its end.
func (s *site) suppressed(t *testing.T, strikes int, wait time.Duration) time.Time {
	t.Helper()
	if r := s.newest(); r.Deliveries[0].State != queue.Refused || r.Deliveries[0].Why != "bounce" {
		t.Errorf("after the bounce the mail is %s %s; want it refused", r.Deliveries[0].State, r.Deliveries[0].Why)
	}
	q, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	list, err := q.Suppressing(t.Context())
	if err != nil || len(list) != 1 || list[0].What != "dmarc@bank.example" || list[0].Strikes != strikes {
		t.Fatalf("suppressions %+v, %v; want strike %d", list, err, strikes)
	}
	if got := list[0].Until; wait == 0 && !got.IsZero() || wait > 0 && got.Sub(list[0].Since) != wait {
		t.Errorf("strike %d: from %v until %v; want %v", strikes, list[0].Since, got, wait)
	}
	return list[0].Until
}

// forged sends a mail that bounces to a return path that was never made.
func forged(t *testing.T, p *mtatest.Postfix) {
	t.Helper()
	const from = "b+aaaaaaaaaaaaaaaaaaaa@reports.receiver.example"
	before := strings.Count(p.Log(), "to=<"+from+">")
	r, err := p.Send(mtatest.Client{}, mtatest.Mail{From: from, Rcpts: []string{"dmarc@bank.example"}, Data: []byte("Subject: x\r\n\r\nx\r\n")})
	if err != nil || !r.OK() {
		t.Fatalf("%v, %v", r, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := childtest.Poll(ctx, func() bool { return strings.Count(p.Log(), "to=<"+from+">") > before }); err != nil {
		t.Fatalf("the bounce of a forged return path: %v\n%s", err, p.Log())
	}
}
