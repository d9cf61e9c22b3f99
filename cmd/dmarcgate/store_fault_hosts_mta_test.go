//go:build mta

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/pgtest"
	"dmarcgate/internal/scale"
)

// fleet is several hosts that move their results to one PostgreSQL, through a
// proxy that loses connections.
type fleet struct {
	t       *testing.T
	dns     *dnstest.Server
	server  *pgtest.Server
	proxy   *pgtest.Proxy
	db      string // name of the database
	url     string // of it, not through the proxy
	share   int64  // messages of each host in each act
	members []*member
}

// member is one host.
type member struct {
	*host
	*process
	fleet *fleet
	name  string // begins its queue ids
	sent  int64
	feed  *feed // the present one
	acts  int
	ids   []string // of all messages that were answered
}

func newFleet(t *testing.T, share int64) *fleet {
	t.Helper()
	f := &fleet{t: t, dns: dnstest.New(t, processZone), server: pgtest.Start(t), share: share}
	f.proxy = f.server.Proxy(t)
	f.url = f.server.Database()
	f.db = f.url[strings.LastIndexByte(f.url, '/')+1 : strings.IndexByte(f.url, '?')]
	return f
}

// add makes a host, without starting its daemon.
func (f *fleet) add(name string) *member {
	f.t.Helper()
	password := filepath.Join(f.t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(pgtest.Password+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	url := strings.Replace(f.proxy.URL(f.db), ":"+strings.ReplaceAll(pgtest.Password, " ", "%20")+"@", "@", 1)
	h := newHost(f.t, hostConfig{dns: f.dns.Addr(), extra: fmt.Sprintf("%s[store.postgres]\nurl = %q\npassword_file = %q\n", patientStore, url, password)})
	m := &member{host: h, fleet: f, name: name}
	f.members = append(f.members, m)
	return m
}

func (m *member) run() *member {
	m.host.t.Helper()
	m.process = m.host.start()
	return m
}

// begin begins to send half a share.
func (m *member) begin() {
	m.acts++
	m.feed = startFeed(m.host, fmt.Sprintf("%s%dx", m.name, m.acts), 3, m.fleet.share/2)
}

// end waits until it is sent.
func (m *member) end() {
	n := m.feed.wait()
	m.sent += n
	for k := int64(1); k <= n; k++ {
		m.ids = append(m.ids, m.feed.id(k))
	}
}

// act lets all hosts send their share, with one event in the middle of its
// first half, and one in the middle of its second.
func (f *fleet) act(what string, members []*member, events ...func()) {
	f.t.Helper()
	for _, do := range events {
		for _, m := range members {
			m.begin()
		}
		members[0].feed.more(f.share / 8)
		do()
		for _, m := range members {
			m.end()
		}
	}
	f.t.Logf("%s: %d messages of %d hosts", what, len(members)*len(events)*int(f.share/2), len(members))
}

// shipped waits until PostgreSQL has all that a host has sent.
func (m *member) shipped() {
	m.host.t.Helper()
	count := func() int {
		return m.fleet.ask("SELECT count(*) FROM dmarcgate.message WHERE qid LIKE '4X" + m.name + "%'")
	}
	await(m.host.t, stopTime, func() string {
		return fmt.Sprintf("%d rows of host %s in PostgreSQL; there are %d", m.sent, m.name, count())
	}, func() bool { return count() >= int(m.sent) })
}

// ask returns a number.
func (f *fleet) ask(sql string) (n int) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// rowsOf returns how many rows each message has, and each place.
func (f *fleet) rowsOf() (ids, paths map[string]int) {
	f.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT qid, path FROM dmarcgate.message JOIN dmarcgate.store ON store.id = message.store")
	if err != nil {
		f.t.Fatal(err)
	}
	ids, paths = make(map[string]int), make(map[string]int)
	for rows.Next() {
		var qid, path string
		if err := rows.Scan(&qid, &path); err != nil {
			f.t.Fatal(err)
		}
		ids[qid]++
		paths[path]++
	}
	if rows.Err() != nil {
		f.t.Fatal(rows.Err())
	}
	return ids, paths
}

// checkOnce checks that PostgreSQL has each message once, from the host that
// answered it.
func (f *fleet) checkOnce() {
	f.t.Helper()
	ids, paths := f.rowsOf()
	sent := 0
	for _, m := range f.members {
		sent += len(m.ids)
		for _, id := range m.ids {
			if ids[id] != 1 {
				f.t.Errorf("message %s of host %s has %d rows in PostgreSQL; want one", id, m.name, ids[id])
			}
		}
		if n := paths[m.storePath()]; n != len(m.ids) {
			f.t.Errorf("host %s has %d rows in PostgreSQL; want %d", m.name, n, len(m.ids))
		}
	}
	if len(ids) != sent {
		f.t.Errorf("PostgreSQL has %d messages; want %d", len(ids), sent)
	}
	if n := f.ask("SELECT count(*) FROM dmarcgate.refused"); n != 0 {
		f.t.Errorf("rows that PostgreSQL did not take = %d; want none", n)
	}
}

// nothingLost checks that the present daemon has dropped nothing, and stops it.
func (m *member) nothingLost() {
	m.host.t.Helper()
	if c := m.counts(); c.dropped != 0 || m.metric("dmarcgate_store_deleted_total") != 0 {
		m.host.t.Errorf("host %s has dropped %v rows, and deleted %v", m.name, c.dropped, m.metric("dmarcgate_store_deleted_total"))
	}
	m.process.stop()
}

// remove removes the files of the store.
func (m *member) remove() {
	m.host.t.Helper()
	for _, end := range storeFiles {
		if err := os.Remove(m.storePath() + end); err != nil && !os.IsNotExist(err) {
			m.host.t.Fatal(err)
		}
	}
}

// Several daemons and one PostgreSQL, whatever happens to it and to them: in the
// end it has each message once, and no host has lost one.
func TestShippingStoresEachRowOfAllHostsOnce(t *testing.T) {
	const acts, hosts = 9, 3
	f := newFleet(t, int64(4000*scale.Of(t)/acts/hosts))
	a, b, c := f.add("a").run(), f.add("b").run(), f.add("c").run()
	all := []*member{a, b, c}
	f.act("all is well", all, func() {}, func() {})

	// What comes later needs a copy of an early state.
	c.shipped()
	c.nothingLost()
	old := copyStore(t, c.storePath(), t.TempDir(), storeFiles...)
	c.run()

	f.act("stopped and started again", all, f.server.Stop, f.server.Restart)
	f.act("hanging", all, f.server.Pause, f.server.Resume)
	f.act("crashed", all, f.server.Kill, f.server.Restart)
	f.act("cut off", all, f.proxy.Cut, f.proxy.Fix)
	f.act("commits lost, and acknowledgements", all, func() { f.lose(f.proxy.LoseCommits) }, func() { f.lose(f.proxy.LoseAcknowledgements) })
	f.act("an acknowledgement lost, and a daemon killed", all, func() { f.proxy.LoseAcknowledgements(1) }, func() {})
	b.process.kill()
	b.run()
	for _, m := range all {
		m.shipped()
	}
	f.checkOnce()

	b.nothingLost()
	b.remove()
	b.run()
	c.nothingLost()
	c.remove()
	copyStore(t, old, c.dir, storeFiles...)
	c.run()
	f.act("one store deleted, one put back", all, func() {}, func() {})
	c.shipped()
	if c.metric("dmarcgate_store_renewed_total") != 1 || !c.logged("level=WARN", "new store id") {
		t.Error("neither metric nor log say that the store that was put back got a new id")
	}

	a.nothingLost()
	d := f.add("d")
	copyStore(t, a.storePath(), d.dir, storeFiles...)
	a.run()
	a.metricIs(1, "dmarcgate_store_shipping")
	d.run()
	all = append(all, d)
	f.act("one store cloned", all, d.wantRefused, func() {})
	if n := f.ask("SELECT count(*) FROM dmarcgate.message WHERE qid LIKE '4Xd%'"); n != 0 {
		t.Errorf("rows of the clone in PostgreSQL = %d; want none while it is refused", n)
	}
	d.dmarcgate("results", "adopt", "-c", d.config())
	for _, m := range all {
		m.shipped()
		m.nothingLost()
	}
	f.checkOnce()
}

// lose loses three commits or acknowledgements while hosts send.
func (f *fleet) lose(lose func(int)) {
	f.t.Helper()
	before := f.proxy.Lost()
	lose(3)
	await(f.t, stopTime, func() string { return "three losses" }, func() bool { return f.proxy.Lost() >= before+3 })
}

// wantRefused waits until all that an operator looks at says that the store
// must not be shipped.
func (m *member) wantRefused() {
	m.host.t.Helper()
	m.metricIs(1, "dmarcgate_store_shipping_refused")
	if !m.logged("level=ERROR", "refused", "results adopt") {
		m.host.t.Errorf("the log of the clone does not say that it is refused, and what fixes it:\n%s", tail(m.log()))
	}
	if out := m.dmarcgate("status", "-c", m.config()); !strings.Contains(out, "refused") {
		m.host.t.Errorf("status of the clone = %s; want that it is refused", out)
	}
}

// dmarcgate runs a command of the program, and returns what it prints.
func (m *member) dmarcgate(args ...string) string {
	m.host.t.Helper()
	code, out, stderr := command(args...)
	if code != 0 {
		m.host.t.Errorf("dmarcgate %s = %d, %s", strings.Join(args, " "), code, stderr)
	}
	return out
}
