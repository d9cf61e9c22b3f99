package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/config/tomlfile"
	"dmarcgate/internal/brokentest"
)

func TestLoadReportsProblemsWithLineKeyAndFix(t *testing.T) {
	brokentest.Files(t, "testdata/broken", func(data []byte) (bool, error) {
		c, err := Parse("f", data)
		return c != nil, err
	})
}

func TestLoadNamesTheFileInProblems(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dmarcgate.toml")
	if err := os.WriteFile(path, []byte("\nstate_dri = \"/x\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	var errs *tomlfile.Errors
	if !errors.As(err, &errs) || len(errs.Problems) != 2 {
		t.Fatalf("Load = %v; want two problems", err)
	}
	want := tomlfile.Problem{File: path, Line: 2, Key: "state_dri", Text: "unknown key", Fix: `did you mean "state_dir"?`}
	if got := errs.Problems[1]; got != want {
		t.Errorf("problem = %+v; want %+v", got, want)
	}
}

func TestAFileThatCannotBeReadIsTheSystemsError(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "absent.toml"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load = %v; want %v", err, os.ErrNotExist)
	}
}

func TestAFileThatIsTooLargeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mailbox")
	if err := os.WriteFile(path, []byte(strings.Repeat("#\n", tomlfile.MaxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	if want := path + ": is larger than 1MiB; is this the right file?"; err == nil || err.Error() != want {
		t.Errorf("Load = %v; want %s", err, want)
	}
}

func TestDefaultsNeedOnlyAListener(t *testing.T) {
	c := Default()
	faults := validate(&c)
	if len(faults) != 1 || faults[0].At != "listener" {
		t.Errorf("validate(Default()) = %v; want only that there is no listener", faults)
	}
}

func TestDefaultsAreNotShared(t *testing.T) {
	a, b := Default(), Default()
	a.DNS.Timeout = 0
	if b.DNS.Timeout == 0 {
		t.Error("changing one Default changes another")
	}
}

func TestDerivedValuesAreFilledIn(t *testing.T) {
	c, err := Parse("f", []byte("state_dir = \"/srv/d\"\n[[listener]]\nname='a'\naddress='tcp:[::1]:0'\nprofile='strict'\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.HostName() == "" || !slices.Contains(c.OwnIDs(), c.HostName()) {
		t.Errorf("HostName() = %q, OwnIDs() = %q; want the name of this host, and that among the ids", c.HostName(), c.OwnIDs())
	}
	if c.AuthservID != "" || c.Listeners[0].AuthservID != "" || c.Store.Path != "/srv/d/results.db" || c.Sampling.SecretFile != "/srv/d/sampling.key" {
		t.Errorf("derived = %q, %q, %q; want no name, as it is the MTA's, and files in /srv/d", c.AuthservID, c.Store.Path, c.Sampling.SecretFile)
	}
}

// FuzzParse wants either an error whose every line is printable and names a
// line of the file, or a configuration that passes validation again.
func FuzzParse(f *testing.F) {
	const head = "[[listener]]\nname = \"a\"\naddress = \"tcp:[::1]:0\"\nprofile = \"strict\"\n"
	for _, s := range []string{
		head,
		head + "trusted_networks = [\"192.0.2.0/24\", \"::1\"]\n[dns]\nservers = [\"::1\"]\ncache_size = \"1GiB\"\n",
		head + "[listener.x]\n[[listener.y]]\n[[listener.y]]\n",
		"listener = [{}, {name = 'a', \"b\\u0000\\n\" = [[1, {x.y = 2}]]}, 3]",
		"a.\"b.c\".'' = 1\na.\"b\\rc\" = 2\n",
		"[dns]\ntimeout = 0x10\nmax_ttl = inf\ncache_size = -0.0\nquery_timeout = \"0d\"\n",
		"authserv_id = \"\\u202e\"\n[reply]\nreject = \"{{}{domain}}\"",
		"[\"[0]\"]\n\"listener[0]\" = 1\nlistener.a = 1\n",
		strings.Repeat("[", 200) + "\n" + "a=" + strings.Repeat("[", 2000),
		"\xef\xbb\xbf", "\xff", "a=\"\\ud800\"", "[admin]\nlisten = \"localhost:http\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err == nil {
			if faults := validate(c); len(faults) > 0 {
				t.Errorf("Parse(%q) gives what validate refuses: %v", data, faults)
			}
			if c.HostName() == "" || c.Store.Path == "" || c.Sampling.SecretFile == "" {
				t.Errorf("Parse(%q) leaves a derived value empty: %+v", data, c)
			}
			return
		}
		var errs *tomlfile.Errors
		if c != nil || !errors.As(err, &errs) || len(errs.Problems) == 0 {
			t.Fatalf("Parse(%q) = %v, %v; want problems alone", data, c, err)
		}
		for _, p := range errs.Problems {
			if p.Line < 0 || p.Line > strings.Count(string(data), "\n")+1 {
				t.Errorf("Parse(%q): line %d is not in the file", data, p.Line)
			}
			if s := p.String(); strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("Parse(%q): %q has a control character", data, s)
			}
		}
	})
}

// A short timeout alone is no fault: the default of stale_after stands above it.
func TestAShortTimeoutNeedsNoOtherStaleAfter(t *testing.T) {
	c, err := Parse("f", []byte("[[listener]]\nname = \"a\"\naddress = \"unix:/a\"\nprofile = \"strict\"\n[dns]\nquery_timeout = \"500ms\"\ntimeout = \"1s\"\n"))
	if err != nil || c.DNS.StaleAfter != Default().DNS.StaleAfter {
		t.Errorf("Parse = %+v, %v; want the default of stale_after", c, err)
	}
}
