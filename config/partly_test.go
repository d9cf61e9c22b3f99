package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodListener = "[[listener]]\nname = \"mta\"\naddress = \"unix:/run/m.sock\"\nprofile = \"conformant\"\n"

func TestLoadPartlyKeepsWhatIsRight(t *testing.T) {
	for _, tt := range []struct {
		name, text         string
		stateDir, listener string
		profile            string
	}{
		{"an unknown key", "state_dir = \"/x\"\nstate_dri = 1\n" + goodListener, "/x", "mta", "conformant"},
		{"a wrong word", "state_dir = \"/x\"\n[discovery]\nmethod = \"tree\"\n" + goodListener, "/x", "mta", "conformant"},
		{"a wrong type", "state_dir = 7\n" + goodListener, "/var/lib/dmarcgate", "mta", "conformant"},
		{"a wrong profile", "state_dir = \"/x\"\n" + strings.Replace(goodListener, "conformant", "sterict", 1), "/x", "none", "strict"},
		{"no profile", "state_dir = \"/x\"\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/m.sock\"\n", "/x", "none", "strict"},
		{"no listener", "state_dir = \"/x\"\n", "/x", "none", "strict"},
		{"two listeners of one name", "state_dir = \"/x\"\n" + goodListener + goodListener, "/x", "mta", "conformant"},
		{"no TOML", "state_dir = \"/x\"\n[[[\n", "/var/lib/dmarcgate", "none", "strict"},
		{"an element of a list", "state_dir = \"/x\"\n[conformant]\ntrusted_sealers = [\"a.example\", 7]\n" + goodListener, "/x", "mta", "conformant"},
		{"a table that is none", "state_dir = \"/x\"\ndns = 3\n" + goodListener, "/x", "mta", "conformant"},
		{"a wrong relay", "state_dir = \"/x\"\n[[trusted_relay]]\nnetworks = [\"x\"]\n" + goodListener, "/x", "mta", "conformant"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.toml")
			if err := os.WriteFile(path, []byte("authserv_id = \"mx.example\"\n"+tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := LoadPartly(path)
			if err == nil {
				t.Fatal("LoadPartly() has no error for a broken file")
			}
			if l := c.Listeners[0]; c.StateDir != tt.stateDir || l.Name != tt.listener || l.Profile.String() != tt.profile || c.Store.Path == "" {
				t.Errorf("LoadPartly() = state_dir %s, listener %s, profile %s, store %q; want %s, %s, %s and a store",
					c.StateDir, l.Name, l.Profile, c.Store.Path, tt.stateDir, tt.listener, tt.profile)
			}
		})
	}
	if c, err := LoadPartly("/nonexistent/c.toml"); err == nil || c.Listeners[0].Name != "none" || c.Store.Path != "/var/lib/dmarcgate/results.db" {
		t.Errorf("LoadPartly() of no file = %+v, %v; want the defaults and an error", c, err)
	}
}

func TestFindPlaceReadsBrokenFiles(t *testing.T) {
	for text, want := range map[string]Place{
		"":                          {Control: "/var/lib/dmarcgate/control.sock"},
		"state_dir = \"/x\"\n[[[\n": {Control: "/x/control.sock", Read: true},
		"[[[\nstate_dir = \"/x\"\n": {Control: "/var/lib/dmarcgate/control.sock"}, // in a table now
		"state_dir = \"/x\" junk":   {Control: "/var/lib/dmarcgate/control.sock"},
		"state_dir = \"x\"":         {Control: "/var/lib/dmarcgate/control.sock"}, // not absolute
		"user = \"u:g\"\n= =\nstate_dir = '/x' # here\n[admin]\ncontrol = \"/y.sock\"": {Control: "/y.sock", User: "u:g", Read: true},
		"[ admin ]\ncontrol = \"/y.sock\"\ncontrol = \"/z.sock\"":                      {Control: "/y.sock", Read: true},
		"[[listener]]\ncontrol = \"/y.sock\"\nstate_dir = \"/x\"\nuser = \"u\"":        {Control: "/var/lib/dmarcgate/control.sock"},
		"user = \":\"\nstate_dir = 7":                                                  {Control: "/var/lib/dmarcgate/control.sock"},
		"state_dir = \"/a/../b\"":                                                      {Control: "/b/control.sock", Read: true},
	} {
		if got := findPlace([]byte(text)); got != want {
			t.Errorf("findPlace(%q) = %+v; want %+v", text, got, want)
		}
	}
}

// What is taken out of a broken file must always come to an end, and leave
// something that works.
func FuzzLoadPartly(f *testing.F) {
	f.Add("state_dir = \"/x\"\n" + goodListener)
	f.Add("[a.b]\n[[c]]\nd = [1, [2], {e = 3}]\n\"a.b[0]\" = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := parsePartly("c.toml", []byte(text))
		if len(c.Listeners) == 0 || c.Store.Path == "" || c.Admin.Control == "" {
			t.Errorf("parsePartly(%q) = %+v; want a usable configuration", text, c)
		}
		if p := findPlace([]byte(text)); !filepath.IsAbs(p.Control) {
			t.Errorf("findPlace(%q) = %+v; want an absolute path", text, p)
		}
	})
}
