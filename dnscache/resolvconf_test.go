package dnscache

import (
	"context"
	"dmarcgate/internal/dnstest"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadResolvConfListsFirstServers(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  []string
		trust bool
	}{
		{"# local\nnameserver 127.0.0.53\nnameserver ::1\n;\nnameserver fe80::1%eth0\nnameserver 192.0.2.9\n", []string{"127.0.0.53:53", "[::1]:53", "[fe80::1%eth0]:53"}, false},
		{"nameserver 192.0.2.1\nnameserver 192.0.2.1\nnameserver ::ffff:192.0.2.1\noptions edns0 trust-ad\n", []string{"192.0.2.1:53"}, true},
		{"options trust-ad\noptions rotate\n\tnameserver\t192.0.2.1 # here\n", []string{"192.0.2.1:53"}, true},
		{"#options trust-ad\nnameserver 192.0.2.1", []string{"192.0.2.1:53"}, false},
		{"search example.com\nnameserver\noptions", nil, false},
		{"nameserver localhost\n", nil, false},
		{strings.Repeat("#\n", maxResolvConf) + "nameserver 192.0.2.1\n", nil, false},
	} {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		write(t, path, c.text)
		got, err := ReadResolvConf(path)
		var trusted []string
		if c.trust {
			trusted = c.want
		}
		if !slices.Equal(got.Servers, c.want) || !slices.Equal(got.Trusted, trusted) || (err == nil) != (c.want != nil) {
			t.Errorf("ReadResolvConf(%.80q) = %q, %v; want %q, trusted %v", c.text, got, err, c.want, c.trust)
		}
	}
	if _, err := ReadResolvConf(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadResolvConf of no file = %v; want %v", err, os.ErrNotExist)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// follower runs FollowResolvConf step by step.
type follower struct {
	*rig
	timers  *dnstest.Timers
	path    string
	reports []string
}

// look lets the file be looked at once more, and returns what was reported.
func (f *follower) look(t *testing.T, timer dnstest.Timer) (dnstest.Timer, []string) {
	t.Helper()
	f.reports = nil
	timer.Fire()
	next := f.timers.Next(t)
	return next, f.reports
}

func TestFollowResolvConfReadsChanges(t *testing.T) {
	g := newRig(t, Config{Servers: []string{"192.0.2.1:53"}})
	f := &follower{rig: g, timers: newTimers(g.Resolver), path: filepath.Join(t.TempDir(), "resolv.conf")}
	write(t, f.path, "nameserver 192.0.2.1\n")
	ctx, cancel := context.WithCancel(background)
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.FollowResolvConf(ctx, f.path, func(l ServerList, err error) {
			if err != nil {
				f.reports = append(f.reports, "error")
				return
			}
			f.reports = append(f.reports, strings.Join(l.Servers, " "))
		})
	}()
	timer := f.timers.Next(t)
	if timer.D != followEvery || len(f.reports) != 0 {
		t.Errorf("looks every %v, reported %q of what is in use; want %v and nothing", timer.D, f.reports, followEvery)
	}
	for _, c := range []struct {
		about, text string // no text: no file
		want        []string
		servers     int
	}{
		{"the same", "nameserver 192.0.2.1\n", nil, 1},
		{"another server", "nameserver 192.0.2.2\nnameserver 192.0.2.3\n", []string{"192.0.2.2:53 192.0.2.3:53"}, 2},
		{"the same", "nameserver 192.0.2.2\nnameserver 192.0.2.3\nsearch x\n", nil, 2},
		{"trusted", "nameserver 192.0.2.2\nnameserver 192.0.2.3\noptions trust-ad\n", []string{"192.0.2.2:53 192.0.2.3:53"}, 2},
		{"no file", "", []string{"error"}, 2},
		{"still no file", "", nil, 2},
		{"no server", "search x\n", []string{"error"}, 2},
		{"one server", "nameserver 192.0.2.2\n", []string{"192.0.2.2:53"}, 1},
		{"no server", "search x\n", []string{"error"}, 1},
		{"found again", "nameserver 192.0.2.2\n", []string{"192.0.2.2:53"}, 1},
	} {
		_ = os.Remove(f.path)
		if c.text != "" {
			write(t, f.path, c.text)
		}
		var got []string
		if timer, got = f.look(t, timer); !slices.Equal(got, c.want) || len(g.Servers()) != c.servers {
			t.Errorf("%s: reported %q, %d servers; want %q, %d", c.about, got, len(g.Servers()), c.want, c.servers)
		}
		if trusts := g.Servers()[0].Trusted; trusts != (c.about == "trusted") && c.want != nil && c.want[0] != "error" {
			t.Errorf("%s: trusted %v", c.about, trusts)
		}
	}
	cancel()
	<-done
}

func TestFollowResolvConfEndsWithClose(t *testing.T) {
	g := newRig(t, Config{Servers: []string{"192.0.2.1:53"}})
	timers := newTimers(g.Resolver)
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.FollowResolvConf(background, filepath.Join(t.TempDir(), "none"), func(ServerList, error) {})
	}()
	timers.Next(t)
	g.Close()
	<-done
}

// newTimers makes r wait by timers of the test.
func newTimers(r *Resolver) *dnstest.Timers {
	f := dnstest.NewTimers()
	r.after = f.After
	return f
}
