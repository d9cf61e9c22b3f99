package doctor

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/mta/postfix"
	"dmarcgate/site"
)

var update = flag.Bool("update", false, "write the expected output of the cases")

// sections cuts a text at its lines "-- name --". What stands before them says
// what the case proves.
func sections(t *testing.T, path string) (about string, parts map[string]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parts = map[string]string{}
	name := ""
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(strings.TrimSpace(rest), " --")
			parts[name] = ""
			continue
		}
		if name == "" {
			about += line
			continue
		}
		parts[name] += line
	}
	return strings.TrimSpace(about), parts
}

// plant makes the host of healthy.txt with the sections of a case: those of
// main.cf, host and status are put over the healthy ones line by line or key by
// key, and the others take their place.
func plant(t *testing.T, parts map[string]string) *Host {
	t.Helper()
	_, healthy := sections(t, "testdata/healthy.txt")
	h := &Host{Daemon: &admin.Status{}}
	text, changed := parts["dmarcgate.toml"]
	if !changed {
		text = healthy["dmarcgate.toml"]
	}
	cfg, err := config.Parse("/etc/dmarcgate/dmarcgate.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	h.Config = cfg
	for _, from := range []map[string]string{healthy, parts} {
		if text := from["host"]; text != "" {
			decode(t, text, h)
		}
		if text := from["status"]; text != "" {
			decode(t, text, h.Daemon)
		}
	}
	if h.Silence != "" {
		h.Daemon = nil
	}
	h.Postfix = instances(healthy, parts)
	h.Mail = append(h.Mail, samples(t, h.Now, parts["mail"])...)
	for _, kind := range []string{"opendkim", "opendmarc"} {
		if text := parts[kind+".conf"]; text != "" {
			h.Filters = append(h.Filters, ReadFilter(kind, "/etc/"+kind+".conf", text, "mx.example.org"))
		}
	}
	return h
}

// samples reads lines "count client", with "relayed" or "skipped" behind them.
func samples(t *testing.T, now time.Time, text string) (list []Sample) {
	t.Helper()
	for line := range strings.Lines(text) {
		words := append(strings.Fields(line), "")
		n, err := strconv.Atoi(words[0])
		if err != nil {
			t.Fatal(err)
		}
		one := Sample{Time: now, Client: netip.MustParseAddr(words[1]), Relayed: words[2] == "relayed", Skipped: words[2] == "skipped"}
		list = append(list, slices.Repeat([]Sample{one}, n)...)
	}
	return list
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// instances are the Postfix instances of a case: that of /etc/postfix, and that
// of /etc/postfix-out where the case has a section "second main.cf". A case with
// "no postfix" has none.
func instances(healthy, parts map[string]string) []*postfix.Instance {
	if _, none := parts["no postfix"]; none {
		return nil
	}
	master := healthy["master.cf"]
	if own, ok := parts["master.cf"]; ok {
		master = own
	}
	list := []*postfix.Instance{instance("/etc/postfix", healthy["main.cf"]+parts["main.cf"], master)}
	if second, ok := parts["second main.cf"]; ok {
		list = append(list, instance("/etc/postfix-out", healthy["main.cf"]+second, healthy["master.cf"]))
	}
	return list
}

// instance reads main.cf and master.cf as far as the cases have them: without
// $name, and one line for each parameter and service.
func instance(dir, main, master string) *postfix.Instance {
	i := &postfix.Instance{Dir: dir, Values: map[string]string{}, Set: map[string]string{}}
	for line := range strings.Lines(main) {
		if name, value, ok := strings.Cut(line, "="); ok {
			i.Values[strings.TrimSpace(name)], i.Set[strings.TrimSpace(name)] = strings.TrimSpace(value), strings.TrimSpace(value)
		}
	}
	for line := range strings.Lines(master) {
		words := strings.Fields(line)
		if len(words) < 8 {
			continue
		}
		s := postfix.Service{Name: words[0], Type: words[1], Private: words[2], Chroot: words[4], Program: words[7], Overrides: map[string]string{}}
		for _, o := range strings.Split(line, " -o ")[1:] {
			o = strings.TrimSpace(o)
			if inner, braced := strings.CutPrefix(o, "{"); braced {
				o = strings.TrimSuffix(inner, "}")
			}
			name, value, _ := strings.Cut(o, "=")
			s.Overrides[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
		i.Services = append(i.Services, s)
	}
	return i
}

// examine returns what doctor prints about a host.
func examine(t *testing.T, h *Host) string {
	t.Helper()
	var out strings.Builder
	if err := Print(&out, Examine(h), h.Unseen); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestExamineFindsNothingOnAHealthyHost(t *testing.T) {
	if got := examine(t, plant(t, nil)); got != "no fault found\n" {
		t.Errorf("a healthy host:\n%s", got)
	}
}

// Each case plants one fault, and is named by the id of its finding, with a dash
// and more where an id has several.
func TestExamineNamesPlantedFaults(t *testing.T) {
	paths, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	planted := map[string]bool{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) {
			about, parts := sections(t, path)
			id, _, _ := strings.Cut(name, "-")
			none := id == "fine"
			h := plant(t, parts)
			got := examine(t, h)
			if *update {
				rewrite(t, path, got)
				parts["want"] = got
			}
			if about == "" || got != parts["want"] {
				t.Errorf("%s:\n%s\nwant:\n%s", about, got, parts["want"])
			}
			found := Examine(h)
			if !none && !slices.ContainsFunc(found, func(f Finding) bool { return f.ID == id }) || none && len(found) > 0 {
				t.Errorf("%s: the finding %s is not among\n%s", about, id, got)
			}
			for _, f := range found {
				if len(f.Fixes) == 0 {
					t.Errorf("%s has no line to put in", f.ID)
				}
			}
			planted[id] = true
		})
	}
	for _, id := range ids() {
		if !planted[id] {
			t.Errorf("no case plants the fault %s", id)
		}
	}
}

// rewrite puts the output of doctor into a case.
func rewrite(t *testing.T, path, got string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(text), "-- want --\n")
	if err := os.WriteFile(path, []byte(before+"-- want --\n"+got), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Values of other programs' files, of the DNS and of mail cannot move a cursor or
// begin a line.
func TestPrintShowsHostileTextAsText(t *testing.T) {
	const hostile = "\x1b[2J\r\nerror all_is_well: \u202e\x00"
	h := plant(t, map[string]string{"main.cf": "smtpd_proxy_filter = x\n"})
	h.Checked = []site.Remark{{Level: site.LevelError, Problem: config.Problem{File: hostile, Text: hostile, Fix: hostile}}}
	h.Daemon.Failure, h.Daemon.Version, h.Daemon.Restart = hostile, hostile, []string{hostile}
	h.Daemon.Checks = map[string]string{"connections": hostile, "resolver": hostile}
	h.Daemon.Listeners[0].Warning = &admin.ListenerWarning{Code: "no_header", Text: hostile, Fix: hostile}
	h.Daemon.DNS.Servers[0].Down, h.Daemon.DNS.Servers[0].Err = true, hostile
	h.Daemon.Results.Failure, h.Daemon.Results.SetAside = hostile, hostile
	h.Daemon.Results.Postgres = &admin.PostgresStatus{State: "connecting", Failure: hostile}
	h.Unseen, h.StoreUsers = []string{hostile}, []string{hostile}
	i := h.Postfix[0]
	i.Dir, i.Services[0].Name = hostile, hostile
	for name := range i.Values {
		if name != "smtpd_milters" && name != "queue_directory" && name != "mail_version" {
			i.Values[name] = hostile
		}
	}
	out := examine(t, h)
	for line := range strings.Lines(out) {
		text := strings.TrimSuffix(line, "\n")
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) || strings.HasPrefix(text, "error all_is_well") {
			t.Errorf("a line of doctor: %q", text)
		}
	}
	if len(Examine(h)) < 12 {
		t.Errorf("%d findings; want those of all hostile texts:\n%s", len(Examine(h)), out)
	}
}
