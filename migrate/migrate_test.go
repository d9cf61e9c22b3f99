package migrate

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
)

var update = flag.Bool("update", false, "write the expected sections of the cases")

// noon is the time of all cases.
var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// sections cuts a case: "-- NAME --" begins a section.
func sections(text string) (order []string, all map[string]string) {
	all = map[string]string{}
	name := ""
	order = []string{""}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(rest, " --\n") {
			name = strings.TrimSuffix(rest, " --\n")
			order = append(order, name)
			continue
		}
		all[name] += line
	}
	return order, all
}

// programs are the programs that are read, with the name of their configuration.
var programs = map[string]struct {
	from func(Input) Result
	file string
}{
	"opendmarc":  {OpenDMARC, "opendmarc.conf"},
	"rspamd":     {Rspamd, "dmarc.conf"},
	"authmilter": {AuthenticationMilter, "authentication_milter.json"},
}

// input is the configuration of a case, whose further files are its other sections.
func input(name string, all map[string]string) Input {
	return Input{Name: name, Text: []byte(all[name]), Now: noon, Host: "mx.receiver.example", Read: func(path string) ([]byte, error) {
		if text, there := all[path]; there {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}}
}

// told is what a case expects: the settings, the rules with their maps, and the remarks.
func told(r Result) map[string]string {
	settings, _ := r.text("")
	var remarks, rules strings.Builder
	for _, m := range r.Remarks {
		remarks.WriteString(m.String() + "\n")
	}
	rules.WriteString(r.RuleFile())
	for _, path := range slices.Sorted(maps.Keys(r.Maps)) {
		fmt.Fprintf(&rules, "# %s\n%s\n", path, strings.Join(r.Maps[path], "\n"))
	}
	return map[string]string{"want settings": settings, "want rules": rules.String(), "want remarks": remarks.String()}
}

var wanted = []string{"want settings", "want rules", "want remarks"}

func TestCasesBecomeSettingsRulesAndRemarks(t *testing.T) {
	for program, p := range programs {
		paths, err := filepath.Glob("testdata/" + program + "/*.txt")
		if err != nil || len(paths) == 0 {
			t.Fatalf("no cases of %s: %v", program, err)
		}
		for _, path := range paths {
			t.Run(program+"/"+strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				order, all := sections(string(text))
				r := p.from(input(p.file, all))
				accepted(t, r)
				got := told(r)
				if *update {
					write(t, path, order, all, got)
					return
				}
				for _, name := range wanted {
					if got[name] != all[name] {
						t.Errorf("%s =\n%s\nwant\n%s", name, got[name], all[name])
					}
				}
			})
		}
	}
}

// write writes a case with what came of it.
func write(t *testing.T, path string, order []string, all, got map[string]string) {
	t.Helper()
	out := all[""]
	for _, name := range order[1:] {
		if !slices.Contains(wanted, name) {
			out += "-- " + name + " --\n" + all[name]
		}
	}
	for _, name := range wanted {
		out += "-- " + name + " --\n" + got[name]
	}
	if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

// accepted fails the test for settings that check-config refuses and for rules that
// rules lint calls an error, and for text that a terminal would obey.
func accepted(t *testing.T, r Result) {
	t.Helper()
	text := strings.ReplaceAll(r.Config("/etc/dmarcgate/rules.d"), "/usr/share/publicsuffix/", "/x/")
	if _, err := config.Parse("dmarcgate.toml", []byte(text)); err != nil {
		t.Errorf("check-config refuses the settings: %v\n%s", err, text)
	}
	for _, f := range lint.Rules(r.Rules, lint.Options{Now: noon, ReportsOf: "rfc9990", Listeners: []string{"mta"}}) {
		if f.Level == policy.Error {
			t.Errorf("rules lint: %s: %v", f.Rule, f.Error())
		}
	}
	for name, text := range told(r) {
		if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r > '~' }); i >= 0 {
			t.Errorf("%s has a character that is not printable: %q", name, text[i:min(len(text), i+20)])
		}
	}
}

func FuzzImport(f *testing.F) {
	for program, p := range programs {
		paths, err := filepath.Glob("testdata/" + program + "/*.txt")
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			_, all := sections(string(text))
			f.Add([]byte(all[p.file]))
		}
	}
	f.Add([]byte("IgnoreHosts /dev/zero\nRejectString \x1b[2J%s\x00\nAuthservID \"\nSocket local:\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, p := range programs {
			r := p.from(Input{Name: "x\x1b[31m", Text: text, Now: noon, Host: "mx.receiver.example", Read: func(string) ([]byte, error) { return text, nil }})
			accepted(t, r)
		}
	})
}
