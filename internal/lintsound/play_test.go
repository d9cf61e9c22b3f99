package lintsound

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/config/rulefile"
	"dmarcgate/daemon"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
	"dmarcgate/policy"
	"dmarcgate/site"
)

// playedAtOnce is how many sets of rules that load are played at scale 1; fifty times
// as many are 2,000.
const playedAtOnce = 40

// candidates is how many messages are looked at for those that are played.
const candidates = 1000

// player is a daemon with its name server and a connection to each listener.
type player struct {
	*daemon.Daemon
	dir, path string
	zone      *dnstest.Zone
	key       dkimtest.Key
	clients   map[string]*miltertest.Client
	sent      int
}

const playerConfig = `
state_dir = "%s"
rules_dir = "%s/rules"
authserv_id = "mx.receiver.example"
[[listener]]
name = "mx"
address = "unix:%s/mx.sock"
profile = "strict"
[[listener]]
name = "out"
address = "unix:%s/out.sock"
profile = "strict"
[admin]
listen = "127.0.0.1:0"
[discovery]
method = "psl"
[store]
durability = "off"
[dns]
servers = ["SERVER"]
stale_ttl = "0s"
`

func newPlayer(t *testing.T) *player {
	t.Helper()
	zone := dnstest.NewZone(t, "!any")
	server, err := dnstest.Serve(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	path := daemontest.Write(t, strings.ReplaceAll(playerConfig, "SERVER", server.Addr()))
	p := &player{dir: filepath.Dir(path), path: path, zone: zone, key: key, clients: make(map[string]*miltertest.Client)}
	if err := os.MkdirAll(p.dir+"/rules/maps", 0o755); err != nil {
		t.Fatal(err)
	}
	p.writeMaps(t)
	in, err := site.Load(path, daemon.StartParts)
	if err != nil {
		t.Fatal(err)
	}
	if p.Daemon, err = daemon.New(context.Background(), in, daemon.Options{Path: path, Log: &daemontest.Buffer{}, Version: "test"}); err != nil {
		t.Fatal(err)
	}
	p.Start(context.Background())
	t.Cleanup(func() { p.Shutdown(context.Background()) })
	for i, name := range []string{"mx", "out"} {
		if p.clients[name], err = miltertest.Dial(p.Listeners()[i].Addr(), miltertest.Options{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.clients[name].Close() })
	}
	return p
}

// writeMaps writes the maps that generated rules name.
func (p *player) writeMaps(t *testing.T) {
	m := newMaker(0)
	for _, d := range append(m.domains, m.orgs...) {
		var text strings.Builder
		for item := range d.All() {
			fmt.Fprintln(&text, item)
		}
		for item := range d.Below() {
			fmt.Fprintln(&text, item)
		}
		daemontest.PutFile(t, filepath.Join(p.dir, "rules", strings.TrimPrefix(d.Pattern().String(), "map:")), text.String())
	}
	for _, n := range m.nets {
		var text strings.Builder
		for _, item := range n.Widest() {
			fmt.Fprintln(&text, item)
		}
		daemontest.PutFile(t, filepath.Join(p.dir, "rules", strings.TrimPrefix(n.Pattern().String(), "map:")), text.String())
	}
}

// load has the daemon take rules and a profile by a reload, and returns what is wrong.
func (p *player) load(t *testing.T, rules []policy.Rule, profile policy.Profile) string {
	t.Helper()
	var text strings.Builder
	for _, r := range rules {
		text.WriteString(rulefile.Text(r) + "\n")
	}
	daemontest.PutFile(t, p.dir+"/rules/set.toml", text.String())
	conf, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{"strict", "conformant"} {
		conf = bytes.ReplaceAll(conf, []byte("profile = \""+old), []byte("profile = \""+profile.String()))
	}
	daemontest.PutFile(t, p.path, string(conf))
	return p.Reload().Problem
}

// nowadays moves the days of rules from those of the generator to those of the clock, by
// which the daemon decides. Which messages are in a sample is nobody's to choose here.
func nowadays(rules []policy.Rule, now time.Time) []policy.Rule {
	shift := now.Truncate(24 * time.Hour).Sub(today)
	rules = slices.Clone(rules)
	for i := range rules {
		r := &rules[i]
		r.Created, r.Sample = r.Created.Add(shift), 0
		if !r.Expires.IsZero() {
			r.Expires = r.Expires.Add(shift)
		}
	}
	return rules
}

// play sends a message, and returns what became of it.
func (p *player) play(t *testing.T, g policy.Given) policy.Action {
	t.Helper()
	if err := p.zone.Replace(p.zoneOf(&g)); err != nil {
		t.Fatal(err)
	}
	message, err := p.text(&g)
	if err != nil {
		t.Fatalf("%+v: %v", trimmed(g), err)
	}
	p.sent++
	m := miltertest.Mail{Client: g.Client, ClientName: g.Name, Helo: g.Helo, QueueID: fmt.Sprintf("Q%d", p.sent), Message: message}
	if !g.NullPath {
		m.From = "u@" + cmp.Or(g.MailFrom, slices.Concat(g.Author, []string{"author.example"})[0])
	}
	for _, d := range g.Rcpt {
		m.Rcpts = append(m.Rcpts, "u@"+d)
	}
	if g.TLS {
		m.TLS = "TLSv1.3"
	}
	res, err := p.clients[g.Listener].Send(m)
	if err != nil {
		t.Fatal(err)
	}
	tagged := slices.ContainsFunc(res.Edits, func(e miltertest.Edit) bool { return e.Name == "X-DMARC-Quarantine" && e.Op != miltertest.OpChange })
	switch {
	case res.Code >= 500:
		return policy.Reject
	case res.Code >= 400 || res.Action == miltertest.TempFail:
		return policy.Tempfail
	case tagged:
		return policy.Tag
	}
	return policy.Accept
}

// pair is a message, and the plain one beside it.
type pair struct {
	class   class
	a       arranged
	f       policy.Facts
	decided bool // by a rule
	gain    gap  // what the message gains; its kind is empty for nothing
}

// pairs are messages for a set: one that gains something if there is one, one that a
// rule decides otherwise than the plain one, and any other.
func pairs(m *messages, rules []policy.Rule, r *rand.Rand, profile policy.Profile, now time.Time) []pair {
	j, w := newJudge(rules), worldOf(rules)
	all, nothing := uint(1)<<len(rules)-1, w.plain()
	var found [3]*pair
	w.each(r, candidates, func(c class, a arranged) bool {
		c.profile, c.time = profile, now
		f := m.facts(c, a)
		if !playable(&c, a) || !spoof(&c, &f) {
			return true
		}
		plain := m.facts(c, nothing)
		was, is := j.decide(all, profile, &plain), j.decide(all, profile, &f)
		one := pair{class: c, a: a, f: f, decided: is.Rule != ""}
		if is.Action < was.Action {
			one.gain = j.gained(&c, a, func() policy.Facts { return without(plain, &f) }, &f, func() policy.Action {
				alike := without(m.facts(c, a.alike(&c, nothing)), &f)
				return j.decide(all, profile, &alike).Action
			})
		}
		for i, good := range []bool{one.gain.kind != "", one.decided && is.Rule != was.Rule, true} {
			if good && found[i] == nil {
				found[i] = &one
				break
			}
		}
		return found[0] == nil || found[1] == nil || found[2] == nil
	})
	var out []pair
	for _, p := range found {
		if p != nil {
			out = append(out, *p)
		}
	}
	return out
}

// TestRulesPlayedThroughTheMilterSocket has a daemon load generated sets of rules,
// which it refuses where lint has an error, and sends messages of the world to those
// that it takes, with DNS, signatures and seals made for each: the answers are those by
// which lint is tried above, and what gains something by them was told. After the sets
// in their order, sets that a message opens are looked for and played, too.
func TestRulesPlayedThroughTheMilterSocket(t *testing.T) {
	want := playedAtOnce * scale.Of(t)
	p := newPlayer(t)
	facts := &messages{make(map[string]*policy.Facts)}
	played, refused, spoofs, decided, gained := 0, 0, 0, 0, 0
	enough := func() bool { return played >= want && decided >= want/5 && gained >= want/20 }
	for i := 0; !enough() && i < 40*want; i++ {
		number := seed()*1_000_000_000 + uint64(i)
		now := time.Now()
		rules := nowadays(newMaker(number).set(), now)
		profile := []policy.Profile{policy.Strict, policy.Conformant}[i%2]
		level := saidAt(now, rules)
		if played >= want && level == policy.Error {
			continue
		}
		list := pairs(facts, rules, rand.New(rand.NewPCG(number, 1)), profile, now)
		if opens := slices.ContainsFunc(list, func(one pair) bool { return one.gain.kind != "" }); played >= want && !opens {
			continue
		}
		problem := p.load(t, rules, profile)
		if (problem != "") != (level == policy.Error) {
			t.Errorf("set %d: lint says %s, and a reload says %q", number, levels[level], problem)
		}
		if problem != "" {
			refused++
			continue
		}
		played++
		for _, one := range list {
			spoofs++
			decided += index(one.decided)
			if p.gains(t, facts, rules, &one, level) {
				gained++
			}
		}
	}
	t.Logf("%d sets played and %d refused: %d spoofs, each beside its plain message; rules decide %d, and %d gain something", played, refused, spoofs, decided, gained)
	if !enough() {
		t.Errorf("rules decide %d spoofs, and %d gain something; want at least %d and %d, or the test says nothing", decided, gained, want/5, want/20)
	}
}

// gains plays a spoof and its plain message, compares the answers with the decisions
// about the facts, and reports whether the spoof gained something.
func (p *player) gains(t *testing.T, m *messages, rules []policy.Rule, one *pair, level policy.Level) bool {
	t.Helper()
	j, w := newJudge(rules), worldOf(rules)
	all, c := uint(1)<<len(rules)-1, one.class
	plainFacts := m.facts(c, w.plain())
	want := j.decide(all, c.profile, &one.f)
	wantPlain := j.decide(all, c.profile, &plainFacts)
	did, didPlain := p.play(t, c.given(one.a)), p.play(t, c.given(w.plain()))
	for _, x := range []struct {
		got      policy.Action
		want     policy.Decision
		arranged arranged
	}{{did, want, one.a}, {didPlain, wantPlain, w.plain()}} {
		if x.got != x.want.Action {
			t.Errorf("the answer is %v; want %v: %v", x.got, x.want.Action, &gap{rules: rules, given: c.given(x.arranged), does: x.want})
		}
	}
	if g := one.gain; g.kind != "" && one.a.by <= customer && g.want > level {
		g.given, g.got = c.given(one.a), level
		t.Errorf("played: %v", &g)
	}
	return one.gain.kind != "" && did < didPlain
}
